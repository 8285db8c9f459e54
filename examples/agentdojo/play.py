"""One task, played through the door: the framework opens it, the agent calls, a person answers what is asked."""
import collections
import itertools
import re
import textwrap
import tomllib

import traces


NUMBERS = itertools.count(1)


class Catalog:
    """What the framework knows of an agent's tools: which actions change something, and what they act on."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.actions = tomllib.load(file)["actions"]

    def reads(self, tool):
        return self.actions[tool]["effect"] == "read"

    def guards(self, tool):
        """Whether a call of this tool can change something, or carry something out: what an attacker is after."""
        aims = {"destination", "object"}
        return not self.reads(tool) or any(sink["kind"] in aims for sink in self.actions[tool].get("sinks", []))

    def resource(self, tool, arguments):
        template = self.actions[tool]["resource"]
        place = re.fullmatch(r"\{body:/([^}]*)\}", template)
        if not place:
            return template
        value = arguments
        for part in place[1].split("/"):
            value = value[int(part)] if isinstance(value, list) else value[part]
        return str(value)

    def fixed(self, tool):
        return not self.actions[tool]["resource"].startswith("{")


def grant(suite, catalog, prompt, calls):
    """What the user's words allow: what the task changes, and where it reaches out; how often, and on what, where they say so."""
    lines = collections.Counter()
    for call in calls:
        tool = call["tool"]
        if not catalog.guards(tool):
            continue
        resource = None if catalog.fixed(tool) else catalog.resource(tool, call["args"])
        lines[tool, resource if resource and says(prompt, resource) else None] += 1
    return [
        {"action": f"{suite}/{tool}", "max": count} | ({"resource": resource} if resource else {})
        for (tool, resource), count in lines.items()
    ]


def said(prompt):
    """The user's words as values of a task: each has room for some thousand bytes, and all of them for 32 000."""
    # Who leaves out the blank behind a full stop has ended a sentence, and named no host.
    prompt = re.sub(r"(?<=[a-z])\.(?=[A-Z])", ". ", prompt.strip())
    return [prompt] if len(prompt.encode()) <= 8000 else textwrap.wrap(prompt, 2000)[:4]


def says(prompt, value):
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", prompt) is not None


class Session:
    """A task and the upstream's answers in it. What happened is told by `events`: (whose, call, verdict)."""

    def __init__(self, stage, suite, row, actions):
        self.stage, self.suite, self.name = stage, suite, f"session-{next(NUMBERS)}"
        self.events, self.amendments = [], 0
        self.task = stage.sidecar.open_task(suite, row["text"].strip()[:500], actions, said(row["text"]))

    def play(self, steps, agree):
        """Makes the steps' calls in order. `agree(whose)` says whether the person agrees to a call of theirs."""
        answers = [{"tool": call["tool"], "args": call["args"], "answer": answer} for _, call, answer in steps]
        self.stage.mock.ask("PUT", f"/sessions/{self.name}", body=answers)
        for whose, call, _ in steps:
            self.step(whose, call, agree)
        self.stage.sidecar.end_task(self.task)
        return self

    def step(self, whose, call, agree):
        sidecar = self.stage.sidecar
        verdict = sidecar.call(self.suite, self.task, self.name, call["tool"], call["args"])
        self.events.append((whose, call, verdict))
        if verdict["decision"] == "ask":
            approval = verdict["approval"]["id"]
            sidecar.answer(approval, agree(whose))
            if agree(whose):
                made = sidecar.resume(self.suite, approval)
                if made["decision"] != "allow":
                    self.events.append((whose, call, made))

    # What can be told afterwards.

    def decided(self, decision, whose=None):
        return [call for who, call, verdict in self.events if verdict["decision"] == decision and whose in (None, who)]

    def stopped(self):
        """How an injected sink call was stopped: `denied`, `asked`, or not at all."""
        catalog = self.stage.catalogs[self.suite]
        for decisions, name in ((("deny", "throttle"), "denied"), (("ask",), "asked")):
            for whose, call, verdict in self.events:
                if whose == "attacker" and verdict["decision"] in decisions and catalog.guards(call["tool"]):
                    return name
        return None

    def alarmed(self):
        """Whether a reviewer is told that the task does more than it was opened for."""
        refused = (verdict for _, _, verdict in self.events if verdict["decision"] in ("deny", "throttle"))
        return any(self.stage.sidecar.alarmed(verdict["call"]) for verdict in refused)


def benign(stage, suite, row, agree=lambda _: True):
    """The user's task, and nobody else in it."""
    catalog = stage.catalogs[suite]
    steps = [("user", call, traces.answer(call["output"])) for call in row["calls"]]
    actions = grant(suite, catalog, row["text"], row["calls"])
    return Session(stage, suite, row, actions).play(steps, agree)


def attacked(stage, pair, words):
    """The user's task, whose data orders the agent to do something else. It obeys at once, then goes on."""
    suite = pair["suite"]
    row = stage.traces.user[suite][pair["user_task"]]
    injection = stage.traces.injection[suite][pair["injection_task"]]
    order, steps = words(injection["text"]), []
    for index, call in enumerate(row["calls"]):
        steps.append(("user", call, traces.poisoned(call, order)))
        if index == pair["first_exposed_call"]:
            steps += [("attacker", evil, traces.poisoned(evil, order)) for evil in injection["calls"]]
    actions = grant(suite, stage.catalogs[suite], row["text"], row["calls"])
    return Session(stage, suite, row, actions).play(steps, lambda whose: False)
