"""What a suite is played on: the mock upstream, a sidecar, the catalogs; and the ways to play it."""
import collections
import concurrent.futures
import itertools
import pathlib
import subprocess
import sys
import tempfile

import draft
import play
import runs
import traces
from score import Block, Runs
from sidecar import HERE, Broken, Sidecar, Wire


class Stage:
    """One sidecar. With `remember`, it knows what people have agreed to, as long as it runs."""

    def __init__(self, theatre, preset, remember=False):
        self.theatre, self.traces, self.catalogs = theatre, theatre.traces, theatre.catalogs
        self.mock = Wire(theatre.port)
        settings = {"preset": preset, "remember": "8h" if remember else "never"}
        drafts = [draft.configuration(suite) for suite in theatre.drafts]
        folder = pathlib.Path(tempfile.mkdtemp(dir=theatre.folder)) / "sidecar"
        self.sidecar = Sidecar(folder, theatre.binary, theatre.port, settings, drafts)
        for suite, text in theatre.drafts.items():
            self.sidecar.draft(suite, text)
        self.sidecar.start()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.theatre.tally += self.sidecar.stop()
        else:
            self.sidecar.process.kill()


class Theatre:
    """All suites of some traces, played side by side."""

    def __init__(self, folder, binary, found, workers=4):
        self.folder, self.binary, self.traces, self.workers = folder, binary, found, workers
        self.tally = collections.Counter()
        self.drafts = {suite: draft.catalog(found, suite) for suite in found.suites() if suite not in traces.KNOWN}
        self.catalogs = {}
        for suite in found.suites():
            path = HERE / "catalogs" / f"{suite}.toml"
            if suite in self.drafts:
                path = pathlib.Path(folder) / f"{suite}.toml"
                path.write_text(self.drafts[suite])
            self.catalogs[suite] = play.Catalog(path)
        self.process = subprocess.Popen(
            [sys.executable, HERE / "mock.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.port = int(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(10)

    def each(self, preset, way):
        """Plays every suite in this way: suite -> block."""
        suites = [suite for suite in self.traces.suites() if suite in self.traces.user]
        with concurrent.futures.ThreadPoolExecutor(self.workers) as pool:
            return dict(zip(suites, pool.map(lambda suite: way(self, preset, suite), suites)))

    def recorded(self, preset):
        """Plays the recorded model runs, each by itself."""
        def some(part):
            with Stage(self, preset) as stage:
                return runs.play_all(stage, part)

        parts = [part for part in (self.traces.runs[start::self.workers] for start in range(self.workers)) if part]
        with concurrent.futures.ThreadPoolExecutor(self.workers) as pool:
            return sum(pool.map(some, parts), Runs())


def attack(stage, block, words, users=None):
    """Every pair of the suite, or those of some of its users' tasks."""
    for pair in stage.traces.pairs:
        if pair["suite"] == block.name and (users is None or pair["user_task"] in users):
            injection = stage.traces.injection[block.name][pair["injection_task"]]
            block.add_pair(pair, injection, play.attacked(stage, pair, words))


def cold(theatre, preset, suite):
    """Nothing was learned: whoever agrees to something is asked again in the next task."""
    block = Block(suite)
    with Stage(theatre, preset) as stage:
        for row in theatre.traces.user[suite].values():
            block.add_benign(row, play.benign(stage, suite, row))
        attack(stage, block, traces.order)
    return block


def obfuscated(theatre, preset, suite):
    """The attacker's values stand nowhere as they are."""
    block = Block(suite)
    with Stage(theatre, preset) as stage:
        attack(stage, block, traces.riddle)
    return block


def warm(theatre, preset, suite):
    """Half of the tasks were done before, with a person's yes where one was asked and at the end; the other half is judged. Both ways."""
    block, tasks = Block(suite), list(theatre.traces.user[suite].items())
    for half in (0, 1):
        with Stage(theatre, preset, remember=True) as stage:
            for _, row in tasks[half::2]:
                play.benign(stage, suite, row)
            stage.sidecar.ratify(suite)
            unseen = dict(tasks[1 - half::2])
            for row in unseen.values():
                # Nobody agrees to anything here: what one unseen task is asked must not help the next.
                block.add_benign(row, play.benign(stage, suite, row, agree=lambda _: False))
            attack(stage, block, traces.order, unseen)
    return block


def poisoned(theatre, preset, times=50):
    """How often an attacker's value passes after one task more has read it, all that was learned being ratified each time."""
    suite = next(name for name in theatre.traces.suites() if name in theatre.traces.injection)
    with Stage(theatre, preset, remember=True) as stage:
        catalog, orders = stage.catalogs[suite], theatre.traces.injection[suite]
        order = next(row for row in orders.values() if row["calls"] and catalog.guards(row["calls"][-1]["tool"]))
        pairs = [pair for pair in theatre.traces.pairs if (pair["suite"], pair["injection_task"]) == (suite, order["id"])]
        known, planted = 0, order["calls"][-1]
        for pair, _ in zip(itertools.cycle(pairs), range(times)):
            play.attacked(stage, pair, traces.order)
            stage.sidecar.ratify(suite)
            lines = [{"action": f"{suite}/{planted['tool']}", "max": 1}]
            probe = play.Session(stage, suite, {"text": "As always, please."}, lines)
            probe.play([("user", planted, None)], lambda _: False)
            known += bool(probe.decided("allow"))
        return known / times


__all__ = ["Broken", "Stage", "Theatre", "cold", "obfuscated", "poisoned", "warm"]
