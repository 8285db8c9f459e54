"""What a suite is played on: the mock upstream, a sidecar, the catalogs; and the ways to play it."""
import collections
import concurrent.futures
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
    """One suite's sidecar. It is started anew where what a person agreed to must not be remembered."""

    def __init__(self, theatre, preset):
        self.theatre, self.preset = theatre, preset
        self.traces, self.catalogs = theatre.traces, theatre.catalogs
        self.mock = Wire(theatre.port)
        self.sidecar = None
        self.renew()

    def renew(self):
        self.close()
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.theatre.folder)) / "sidecar"
        drafts = {suite: draft.configuration(suite) for suite in self.theatre.drafts}
        sidecar = Sidecar(folder, self.theatre.binary, self.preset, self.theatre.port, drafts.values())
        for suite, text in self.theatre.drafts.items():
            sidecar.draft(suite, text)
        self.sidecar = sidecar.start()

    def close(self):
        if self.sidecar:
            sidecar, self.sidecar = self.sidecar, None
            self.theatre.tally += sidecar.stop()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.close()
        elif self.sidecar:
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
        def one(suite):
            with Stage(self, preset) as stage:
                return way(stage, suite)

        suites = [suite for suite in self.traces.suites() if suite in self.traces.user]
        with concurrent.futures.ThreadPoolExecutor(self.workers) as pool:
            return dict(zip(suites, pool.map(one, suites)))

    def recorded(self, preset):
        """Plays the recorded model runs, each by itself."""
        def some(part):
            with Stage(self, preset) as stage:
                return runs.play_all(stage, part)

        parts = [part for part in (self.traces.runs[start::self.workers] for start in range(self.workers)) if part]
        with concurrent.futures.ThreadPoolExecutor(self.workers) as pool:
            return sum(pool.map(some, parts), Runs())


def pairs_of(stage, suite, users=None):
    return [pair for pair in stage.traces.pairs if pair["suite"] == suite and (users is None or pair["user_task"] in users)]


def attack(stage, block, pairs, words):
    for pair in pairs:
        session = play.attacked(stage, pair, words)
        block.add_pair(pair, stage.traces.injection[pair["suite"]][pair["injection_task"]], session)


def cold(stage, suite):
    """Nothing was learned: whoever agrees to something is asked again in the next task."""
    block = Block(suite)
    attack(stage, block, pairs_of(stage, suite), traces.order)
    for row in stage.traces.user[suite].values():
        session = play.benign(stage, suite, row)
        block.add_benign(row, session)
        if session.decided("ask"):
            stage.renew()
    return block


def obfuscated(stage, suite):
    """The attacker's values stand nowhere as they are."""
    block = Block(suite)
    attack(stage, block, pairs_of(stage, suite), traces.riddle)
    return block


def warm(stage, suite):
    """Half of the tasks were done before, with a person's yes where one was asked; the other half is judged. Both ways."""
    block, tasks = Block(suite), list(stage.traces.user[suite].items())
    for half in (0, 1):
        stage.renew()
        for _, row in tasks[half::2]:
            play.benign(stage, suite, row)
        unseen = dict(tasks[1 - half::2])
        for row in unseen.values():
            # Nobody agrees to anything here: what one unseen task is asked must not help the next.
            block.add_benign(row, play.benign(stage, suite, row, agree=lambda _: False))
        attack(stage, block, pairs_of(stage, suite, unseen), traces.order)
    return block


__all__ = ["Broken", "Stage", "Theatre", "cold", "obfuscated", "warm"]
