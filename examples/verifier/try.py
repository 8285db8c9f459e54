"""Tries both verifiers on tokens that a running sidecar mints, with a thief on the wire between it and the tools.

    python3 try.py COUNTERSIGN LANGUAGE=COMMAND…     as run.sh calls it; each COMMAND starts a tool, see tool.py

For each language there are two tools: one goes by what stands in a token, the other asks the sidecar, too. The thief has
each request whole, lets it pass or holds it up, and sends it to the tool bent as bends.json says.
"""
import base64
import contextlib
import http.client
import http.server
import json
import os
import pathlib
import queue
import random
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

HERE = pathlib.Path(__file__).parent
ISSUERS = {"calls": "https://sidecar.example", "asked": "https://sidecar.example/asked"}
BODY = '{"to":"bo@example.com"}'
SHARE, READ = ("POST", "/files/a.txt/share?note=1", BODY), ("GET", "/files/a.txt", "")
tried = 0
failed = []


def expect(tool, what, found, wanted):
    global tried
    tried += 1
    if found != wanted:
        failed.append(what)
        print(f"{tool}, {what}: {found}, and should be {wanted}")


def free_port():
    """It lies below those that the system gives to whoever asks for any, or it might be given away before it is used."""
    while True:
        port = random.randrange(10_000, 30_000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def send(port, method, target, body, headers):
    """Says exactly this, each header as often as it is there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.putrequest(method, target)
    for name, value in [*headers, ("content-length", str(len(body)))]:
        connection.putheader(name, value)
    connection.endheaders(body.encode())
    answer = connection.getresponse()
    said = answer.read().decode()
    connection.close()
    try:
        return answer.status, json.loads(said)
    except ValueError:
        return answer.status, {}


class Tool:
    """A tool, the thief before it, and what was stolen last."""

    def __init__(self, name, command, asks):
        self.name, self.command, self.asks = name, command, asks
        self.secret = f"a-secret-of-{name}-alone"
        self.port, self.held, self.stolen = free_port(), threading.Event(), queue.Queue()
        self.held.set()
        self.thief = http.server.ThreadingHTTPServer(("127.0.0.1", 0), thief(self))
        self.audience = f"http://127.0.0.1:{self.thief.server_port}"
        threading.Thread(target=self.thief.serve_forever, daemon=True).start()

    def config(self):
        issuer = "asked" if self.asks else "calls"
        asks = f'introspect = {{ file = "{self.name}.token" }}\n' if self.asks else ""
        return f"""
[tools.{self.name}]
upstream = "{self.audience}"
catalog = "files.toml"
issuer = "{issuer}"
networks = ["127.0.0.0/8"]
plaintext = true
{asks}"""

    def start(self, door):
        issuer = ISSUERS["asked" if self.asks else "calls"]
        secret = [self.name, self.secret] if self.asks else []
        command = [*self.command, str(self.port), issuer, self.audience, f"http://127.0.0.1:{door}", *secret]
        return subprocess.Popen(command)

    def send(self, request, authorization=None):
        """What the tool says of it: `taken`, or why not; with what it answers that with."""
        method, target, body, shown = request
        headers = [("authorization", value) for value in (shown if authorization is None else authorization)]
        status, said = send(self.port, method, target, body, headers)
        reason = "taken" if status == 200 else said.get("reason")
        expect(self.name, f"the status of `{reason}`", status, {"taken": 200, "unavailable": 503, "too_large": 413}.get(reason, 401))
        return reason


def thief(tool):
    class Thief(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            request = self.command, self.path, body, self.headers.get_all("authorization", [])
            tool.stolen.put(request)
            tool.held.wait()
            headers = [("authorization", value) for value in request[3]]
            try:
                status, said = send(tool.port, *request[:3], headers)
                said = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)
            except OSError:
                self.close_connection = True  # The sidecar has given the call up, or the tool is gone.

        do_GET = do_POST = answer

        def log_message(self, *_):
            pass

    return Thief


class Call:
    """An agent's call, which the thief holds up while this is entered."""

    def __init__(self, door, tool, call=SHARE):
        self.door, self.tool, self.call, self.answer = door, tool, call, None

    def make(self):
        method, target, body = self.call
        headers = [("content-type", "application/json")] if body else []
        try:
            self.answer = send(self.door, method, f"/{self.tool.name}{target}", body, headers)
        except OSError:
            self.answer = (0, {})

    def __enter__(self):
        self.tool.held.clear()
        self.agent = threading.Thread(target=self.make, daemon=True)
        self.agent.start()
        return self.tool.stolen.get(timeout=20)

    def __exit__(self, *_):
        self.tool.held.set()
        self.agent.join(20)


def bent(request, bend):
    method, target, body, [shown] = request
    token = shown.removeprefix("Bearer ")
    parts = [json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2]]
    signature = token.split(".")[2]
    for part, change in zip(parts, (bend.get("header", {}), bend.get("claims", {}))):
        part.update(change)
        for name in [name for name, value in change.items() if value is None]:
            del part[name]
    if "header" in bend or "claims" in bend:
        spelled = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    else:
        spelled = token.split(".")[:2]
    flipped = base64.urlsafe_b64decode(signature + "==")
    signature = {
        None: signature,
        "none": "",
        "half": signature[:40],
        "spare": signature[:-1] + {"A": "B", "Q": "R", "g": "h", "w": "x"}[signature[-1]],
        "flipped": base64.urlsafe_b64encode(bytes([flipped[0] ^ 1]) + flipped[1:]).rstrip(b"=").decode(),
    }[bend.get("signature")]
    authorization = [value.replace("TOKEN", ".".join([*spelled, signature])) for value in bend.get("authorization", ["Bearer TOKEN"])]
    return bend.get("method", method), bend.get("target", target), bend.get("body", body), authorization


def try_tool(door, tool, others):
    call = Call(door, tool)
    call.make()
    said = {"action": f"{tool.name}/files.share", "for": "helper", "bytes": len(BODY)}
    expect(tool.name, "a good call", call.answer, (200, said))
    used = tool.stolen.get(timeout=20)
    # Its call is over, so whoever asks learns that the token has ended.
    expect(tool.name, "a token that was used", tool.send(used), "ended" if tool.asks else "replayed")
    with call as request:
        for bend in json.loads((HERE / "bends.json").read_text()):
            expect(tool.name, bend["name"], tool.send(bent(request, bend)), bend["reason"])
        much = (*request[:2], " " * (10 << 20) + request[2], request[3])
        expect(tool.name, "more than it takes", tool.send(much), "too_large")
        for other in others:
            same = other.asks == tool.asks
            expect(tool.name, "another tool's token", other.send(request), "wrong_audience" if same else "wrong_issuer")
        expect(tool.name, "a stolen token that is new", tool.send(request), "taken")
        expect(tool.name, "the same once more", tool.send(request), "replayed")
    expect(tool.name, "and its call comes too late", call.answer[0], 401)
    if tool.asks:
        with call as request:
            form = urllib.parse.urlencode({"token": request[3][0].removeprefix("Bearer ")})
            basic = base64.b64encode(f"{tool.name}:{tool.secret}".encode()).decode()
            headers = [("authorization", f"Basic {basic}"), ("content-type", "application/x-www-form-urlencoded")]
            expect(tool.name, "revoking", send(door, "POST", "/oauth/revoke", form, headers)[0], 200)
            expect(tool.name, "a token that was revoked", tool.send(request), "ended")


def wait_until_open(port, process):
    for _ in range(400):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.05)
    sys.exit(f"nothing listens at port {port}")


def lay_out(folder, tools, door):
    (folder / "policies").mkdir()
    (folder / "policies/all.cedar").write_text(
        '@id("share") permit(principal, action in Action::"effect:send", resource);\n'
        '@id("read") @ttl("2s") permit(principal, action in Action::"effect:read", resource);\n')
    for tool in tools:
        secret = folder / f"{tool.name}.token"
        secret.write_text(tool.secret)
        secret.chmod(0o600)
    (folder / "files.toml").write_text((HERE / "files.toml").read_text())
    (folder / "countersign.toml").write_text(f"""
[listen]
agent = "127.0.0.1:{door}"
admin = "127.0.0.1:0"

[agents.helper]
identify = [{{ peer = {{ uid = {os.getuid()} }} }}]
tools = {json.dumps([tool.name for tool in tools])}
intent = "never"

[issuers.calls]
kind = "jwt"
issuer = "{ISSUERS["calls"]}"

[issuers.asked]
kind = "jwt"
issuer = "{ISSUERS["asked"]}"
algorithm = "EdDSA"
{"".join(tool.config() for tool in tools)}""")


def serve(command, door, started):
    sidecar = subprocess.Popen([*command, "serve"], stdout=subprocess.DEVNULL)
    started.append(sidecar)
    wait_until_open(door, sidecar)
    return sidecar


def run(countersign, tools, folder, started):
    door = free_port()
    lay_out(folder, tools, door)
    command = [countersign, "--config", str(folder / "countersign.toml")]
    sidecar = serve(command, door, started)
    for tool in tools:
        started.append(tool.start(door))
        wait_until_open(tool.port, started[-1])
    for tool in tools:
        try_tool(door, tool, [other for other in tools if other is not tool])
    late = [Call(door, tool, READ) for tool in tools]
    stolen = [call.__enter__() for call in late]
    time.sleep(4.2)
    for call, request in zip(late, stolen):
        expect(call.tool.name, "a token whose time is over", call.tool.send(request), "expired")
        call.__exit__()
    asking = [Call(door, tool) for tool in tools if tool.asks]
    stolen = [call.__enter__() for call in asking]
    sidecar.kill()
    sidecar.wait()
    for call, request in zip(asking, stolen):
        expect(call.tool.name, "with nobody to ask", call.tool.send(request), "unavailable")
    serve(command, door, started)
    for call, request in zip(asking, stolen):
        expect(call.tool.name, "a token of before the sidecar died", call.tool.send(request), "ended")
        call.__exit__()
    verified = subprocess.run([*command, "lineage", "verify"], capture_output=True, text=True)
    expect("countersign", "its lineage", (verified.returncode, verified.stdout[:6]), (0, "intact"))


def main():
    countersign, *sides = sys.argv[1:]
    tools = []
    for side in sides:
        language, _, command = side.partition("=")
        command = shlex.split(command)
        tools += [Tool(language, command, False), Tool(f"{language}-asks", command, True)]
    started = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        try:
            run(countersign, tools, folder, started)
        finally:
            for process in started:
                process.kill()
    print(f"on the wire: {tried} tries, {len(failed)} not as they should be")
    sys.exit(bool(failed))


main()
