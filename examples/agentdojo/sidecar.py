"""A running sidecar of this example's configuration, and the four who talk to it: framework, agent, reviewer, operator."""
import collections
import contextlib
import http.client
import json
import os
import pathlib
import random
import re
import secrets
import shutil
import socket
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent


class Broken(Exception):
    """The sidecar, or what stands around it, does something that it should not."""


class Wire:
    """One connection that is kept alive, and made anew where the other end has closed it."""

    def __init__(self, port):
        self.port, self.connection = port, None

    def ask(self, method, path, headers=None, body=None):
        payload = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} | (headers or {})
        for attempt in (0, 1):
            if self.connection is None:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
                self.connection.connect()
                self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                self.connection.request(method, path, payload, headers)
                answer = self.connection.getresponse()
                text = answer.read()
                told = text and answer.headers.get_content_subtype().endswith("json")
                return answer.status, answer.headers, json.loads(text) if told else None
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                # Only an idle connection is closed by the other end, before it has read anything.
                self.connection = None
                if attempt:
                    raise

    def close(self):
        if self.connection:
            self.connection.close()


def free_ports():
    """A port that nobody listens on, and the next one. They lie below those that the system gives to whoever asks for any, or
    one might be given away before it is used."""
    while True:
        port = random.randrange(10_000, 30_000)
        with contextlib.suppress(OSError), socket.socket() as door, socket.socket() as admin:
            door.bind(("127.0.0.1", port))
            admin.bind(("127.0.0.1", port + 1))
            return port, port + 1


class Sidecar:
    """`countersign serve` in a folder of its own."""

    def __init__(self, folder, binary, upstream, settings, drafted=()):
        self.folder, self.binary = pathlib.Path(folder), binary
        self.door_port, self.admin_port = free_ports()
        self.folder.mkdir(parents=True)
        for name in ("catalogs", "directories"):
            shutil.copytree(HERE / name, self.folder / name)
        shutil.copytree(HERE.parent.parent / "policies", self.folder / "policies")
        shutil.copytree(HERE / "policies", self.folder / "policies", dirs_exist_ok=True)
        config = (HERE / "countersign.toml").read_text() + "".join(drafted)
        for old, new in (("7080", self.door_port), ("7081", self.admin_port), ("9001", upstream)):
            config = config.replace(f"127.0.0.1:{old}", f"127.0.0.1:{new}")
        config = config.replace("uid = 1000", f"uid = {os.getuid()}")
        for key, value in settings.items():
            config = re.sub(rf'^{key} = "\w+"', f'{key} = "{value}"', config, count=1, flags=re.M)
        (self.folder / "countersign.toml").write_text(config)
        self.tokens = {}
        for name in sorted({"sam", "framework", *re.findall(r'file = "([a-z_-]+)\.token"', config)}):
            self.tokens[name] = secrets.token_urlsafe(32)
            path = self.folder / f"{name}.token"
            path.write_text(self.tokens[name])
            path.chmod(0o600)
        self.process = None
        self.verdicts = {}

    def draft(self, name, text):
        (self.folder / "catalogs" / f"{name}.toml").write_text(text)

    def start(self):
        log = open(self.folder / "serve.log", "wb")
        self.process = subprocess.Popen([self.binary, "serve"], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.door, self.admin = Wire(self.door_port), Wire(self.admin_port)
        for _ in range(600):
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                probe = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=5)
                probe.request("GET", "/readyz")
                if probe.getresponse().status == 200:
                    return self
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        self.process.kill()
        raise Broken(f"the sidecar does not start:\n{(self.folder / 'serve.log').read_text()[-2000:]}")

    def stop(self):
        """Compares every verdict that was heard with its record, judges each again from it, and stops."""
        self.door.close()
        self.admin.close()
        try:
            return self.compare() + self.replay()
        finally:
            self.process.terminate()
            self.process.wait(30)
            shutil.rmtree(self.folder)

    def ask_operator(self, *command):
        command = [self.binary, *command]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=True).stdout

    def compare(self):
        listed = self.ask_operator("lineage", "list", "--output", "jsonl", "--limit", "10000000")
        recorded = {row["call"]: row for row in map(json.loads, listed.splitlines())}
        told = collections.Counter(calls=len(self.verdicts))
        for call, heard in self.verdicts.items():
            row = recorded.get(call)
            if row is None or not agrees(heard, row):
                raise Broken(f"call {call}: the door said {heard}, the lineage says {row}")
            if heard["decision"] != "allow":
                told["refused"] += 1
                told["reasons"] += any(record["entry"].get("rules") for record in row["records"])
        return told

    def replay(self):
        """Judges every recorded call again, by what was loaded then."""
        replayed = json.loads(self.ask_operator("policy", "replay", "--output", "json"))
        if replayed["different"]:
            raise Broken(f"judged again, these come out otherwise: {replayed['different']}")
        return collections.Counter(replayed=replayed["same"])

    # The framework.

    def open_task(self, agent, goal, actions, values):
        opening = {"agent": agent, "goal": goal, "actions": actions, "values": values}
        headers = {"Authorization": f"Bearer {self.tokens['framework']}"}
        status, _, answer = self.door.ask("POST", "/-/tasks", headers, opening)
        if status != 201:
            raise Broken(f"no task for {agent}: {answer}")
        return answer

    def end_task(self, task):
        self.door.ask("DELETE", f"/-/tasks/{task['task']}", {"Authorization": f"Bearer {self.tokens['framework']}"})

    # The agent: what it is told is all it knows.

    def call(self, agent, task, session, tool, arguments):
        headers = {
            "Authorization": f"Bearer {self.tokens[agent]}",
            "Agent-Task": task["token"],
            "Agent-Intent": f'action="{tool}"',
            "X-Session": session,
        }
        return self.heard(*self.door.ask("POST", f"/{agent}/tools/{tool}", headers, arguments))

    def resume(self, agent, approval):
        headers = {"Authorization": f"Bearer {self.tokens[agent]}"}
        return self.heard(*self.door.ask("POST", f"/-/approvals/{approval}/resume", headers))

    def amend(self, agent, task, lines, approval=None):
        headers = {"Authorization": f"Bearer {self.tokens[agent]}"} | ({"Agent-Approval": approval} if approval else {})
        path = f"/-/tasks/{task['task']}/amendments"
        return self.door.ask("POST", path, headers, {"actions": lines})

    def heard(self, status, headers, answer):
        """What the door decided, in its own words."""
        call = headers["Countersign-Call"]
        if status < 300:
            verdict = {"decision": "allow", "code": None}
        elif headers.get_content_type() == "application/problem+json":
            verdict = {key: answer.get(key) for key in ("decision", "code", "approval")}
        else:
            raise Broken(f"call {call}: the upstream answered {status}: {answer}")
        if verdict["decision"] == "unavailable":
            raise Broken(f"call {call}: {answer}")
        self.verdicts[call] = verdict
        return verdict | {"call": call}

    # The reviewer.

    def answer(self, approval, agree):
        verb = "approve" if agree else "deny"
        headers = {"Authorization": f"Bearer {self.tokens['sam']}"}
        status, _, answer = self.admin.ask("POST", f"/v1/approvals/{approval}/{verb}", headers, {"why": "played"})
        if status >= 300:
            raise Broken(f"question {approval} takes no answer: {answer}")

    def ratify(self, agent):
        """Looks at what the agent's tasks have shown so far, and puts it in force."""
        headers = {"Authorization": f"Bearer {self.tokens['sam']}"}
        for _ in range(10):
            _, _, shown = self.admin.ask("GET", f"/v1/baselines/{agent}", headers)
            if not shown["draft"]["baseline"]["tasks"]:
                return  # nothing was learned, which is what an attacker is to come to
            draft = {key: shown["draft"][key] for key in ("as_of", "digest")}
            status, _, _ = self.admin.ask("POST", f"/v1/baselines/{agent}/ratify", headers, {"draft": draft})
            if status == 200:
                return
            time.sleep(0.05)  # a task that has just ended was still being written down: look again
        raise Broken(f"the baseline of {agent} cannot be ratified: {status}")

    def alarmed(self, call):
        """Whether the record of a call says that its task did more than it was opened for."""
        _, _, story = self.admin.ask("GET", f"/v1/calls/{call}", {"Authorization": f"Bearer {self.tokens['sam']}"})
        facts = (record["entry"].get("facts", {}) for record in story["records"])
        return any(fact.get("task", {}).get("overflow") for fact in facts)


def agrees(heard, row):
    """Whether a call's records say what its answer said."""
    entries = {record["entry"]["kind"]: record["entry"] for record in row["records"]}
    if heard["decision"] == "allow":
        return "permitted" in entries
    if heard["decision"] == "ask":
        return "asked" in entries and "permitted" not in entries
    refused = entries.get("refused", {})
    return (refused.get("decision"), refused.get("code")) == (heard["decision"], heard["code"])
