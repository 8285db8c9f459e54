"""Recorded model runs, played again: the model's own plan is what its task was opened for."""
import collections
import contextlib

import play
import traces
from score import Runs


def plan(row, catalog):
    """What the plan changes, and where it reaches out, as lines of a grant: each mention is one call."""
    lines, planned = collections.Counter(), row.get("plan") or []
    if isinstance(planned, dict):
        planned = [{"action": name, "max": count} for name, count in planned.items()]
    for entry in planned:
        entry = {"action": entry} if isinstance(entry, str) else entry
        tool = (entry.get("action") or entry.get("tool") or entry.get("name")).rpartition("/")[2]
        if tool in catalog.actions and catalog.guards(tool):
            lines[tool, entry.get("resource")] += int(entry.get("max") or 1)
    return [
        {"action": f"{row['suite']}/{tool}"}
        | ({} if catalog.reads(tool) else {"max": count})
        | ({"resource": resource} if resource else {})
        for (tool, resource), count in lines.items()
    ]


class Run(play.Session):
    """One run. The agent knows its plan, and asks for a line more before a change that the plan does not have."""

    def __init__(self, stage, row):
        self.catalog = stage.catalogs[row["suite"]]
        lines = plan(row, self.catalog)
        self.left = collections.Counter()
        for line in lines:
            self.left[line["action"].rpartition("/")[2]] += line.get("max", 0)
        super().__init__(stage, row["suite"], row, lines)
        self.refused = 0

    def step(self, whose, call, agree):
        tool = call["tool"]
        if not self.catalog.reads(tool):
            if self.left[tool]:
                self.left[tool] -= 1
            else:
                self.ask_for(tool, call, agree(whose))
        super().step(whose, call, agree)

    def ask_for(self, tool, call, agreed):
        sidecar = self.stage.sidecar
        line = {"action": f"{self.suite}/{tool}", "resource": self.catalog.resource(tool, call["args"]), "max": 1}
        status, _, answer = sidecar.amend(self.suite, self.task, line)
        if status == 428:
            sidecar.answer(answer["approval"]["id"], agreed)
            if agreed:
                status, _, answer = sidecar.amend(self.suite, self.task, line, answer["approval"]["id"])
        self.amendments += status < 300
        self.refused += status >= 300


def play_one(stage, row):
    catalog, steps = stage.catalogs[row["suite"]], []
    for call in row["calls"]:
        # A call that the tool itself could not read was made by nobody.
        with contextlib.suppress(KeyError, IndexError, TypeError):
            catalog.resource(call["tool"], call["args"])
            steps.append(("user", call, traces.answer(call.get("output"))))
    return Run(stage, row).play(steps, lambda _: not row.get("attack_succeeded"))


def play_all(stage, rows):
    counted = Runs()
    for row in rows:
        attack = bool(row.get("attack_succeeded"))
        if not attack and not row.get("utility"):
            continue
        run = play_one(stage, row)
        denied, asked = run.decided("deny") + run.decided("throttle"), run.decided("ask")
        if attack:
            counted.attacks += 1
            counted.attacks_flagged += bool(denied or asked or run.amendments or run.refused)
        else:
            counted.successful += 1
            counted.interrupted_deny += bool(denied)
            counted.interrupted_ask += bool(asked and not denied)
            counted.amendments += run.amendments
    return counted
