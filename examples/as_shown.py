"""Runs the commands that an example's page shows, in one shell and a copy of the folder, and holds what they print against
what the page says they print.

    python3 as_shown.py FOLDER [BESIDE…]

What is named beside the folder is linked into the copy under its own name.
Where a page says `[..]`, anything may stand; on a line of its own, any lines. Ids, digests, tokens, times and numbers of
milliseconds may differ, and a command that names an id of the page is run with the one that stands in its place now. The ports
7080, 7081 and 9001 become free ones and the user 1000 becomes this one, in the files of the folder as well.
"""
import contextlib
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

DOOR, ADMIN, TOOL = "127.0.0.1:7080", "127.0.0.1:7081", "127.0.0.1:9001"
# What is another one each time: ids, digests, times, tokens, users, milliseconds.
KINDS = (
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
    r"\b[0-9a-f]{64}\b",
    r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z",
    r"\bcst_[\w-]+",
    r"\buid:\d+",
    r"\b\d+(?:\.\d+)? ms\b",
)
PART = re.compile(rf"(?P<value>{'|'.join(KINDS)})|(?P<any>\[\.\.\])|(?P<space> +)|.")
PATIENCE = 60  # seconds a command may take, on a machine that builds at the same time


def steps(page):
    """The commands of a page's console blocks, each with the lines it prints."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```$", page, re.M | re.S):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif found[-1][0].endswith("\\"):
                found[-1] = (found[-1][0] + "\n" + line, [])
            else:
                found[-1][1].append(line)
    return found


def pattern(line):
    """What fits the line: each changing value is any of its kind, and spaces count once. And these values."""
    text, values = "", []
    for part in PART.finditer(line.rstrip()):
        if part["value"]:
            values.append(part[0])
            text += f"({next(kind for kind in KINDS if re.fullmatch(kind, part[0]))})"
        else:
            text += ".*?" if part["any"] else " +" if part["space"] else re.escape(part[0])
    return text + " *", values


def fits(shown, printed, names):
    """Whether the lines are those of the page. If so, `names` holds what its ids are called now."""
    if not shown:
        return not printed
    if shown[0].strip() == "[..]":
        return any(fits(shown[1:], printed[skip:], names) for skip in range(len(printed) + 1))
    if not printed:
        return False
    text, ours = pattern(shown[0])
    found = re.fullmatch(text, printed[0])
    if not found or not fits(shown[1:], printed[1:], names):
        return False
    names.update(zip(ours, found.groups()))
    return True


def free_addresses(count):
    """As many that nobody listens on, no two the same. They lie below those that the system gives to whoever asks for any, or
    one might be given away before it is used."""
    probes = []
    while len(probes) < count:
        probe = socket.socket()
        with contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", random.randrange(10_000, 30_000)))
            probes.append(probe)
    addresses = [f"127.0.0.1:{probe.getsockname()[1]}" for probe in probes]
    for probe in probes:
        probe.close()
    return addresses


class Session:
    """One shell, in which the page's commands run one after the other."""

    def __init__(self, folder):
        self.names = dict(zip((DOOR, ADMIN, TOOL), free_addresses(3))) | {"uid = 1000": f"uid = {os.geteuid()}"}
        for path in filter(pathlib.Path.is_file, folder.rglob("*")):
            text = path.read_text()
            if self.now(text) != text:
                path.write_text(self.now(text))
        environment = os.environ | {"NO_COLOR": "1", "COUNTERSIGN_LOG": "error", "PYTHONDONTWRITEBYTECODE": "1"}
        self.log = folder / ".printed"
        # Opened for us anew each time: a place to read at that is shared with whoever writes moves under them.
        with self.log.open("a") as log:
            self.shell = subprocess.Popen(["bash"], cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=log,
                                          stderr=log, text=True, start_new_session=True)

    def now(self, text):
        for shown, real in self.names.items():
            text = text.replace(shown, real)
        return text

    def as_the_page_says(self, text):
        for shown in (DOOR, ADMIN, TOOL):
            text = text.replace(self.names[shown], shown)
        return text

    def run(self, command):
        """What the command prints, as the page would say it."""
        server = {"countersign serve &": DOOR, "python3 tool.py &": TOOL, "python3 github.py &": TOOL}.get(command)
        if server:
            command = command.replace(" &", f" >{command.split()[-2]}.log 2>&1 &")
        begin = self.log.stat().st_size
        self.shell.stdin.write(f"{{\n{self.now(command)}\n}} </dev/null\necho\necho over:$?\n")
        self.shell.stdin.flush()
        printed = self.until(lambda: self.over(begin), command)
        if server:
            self.until(lambda: self.listens(server), command)
        return self.as_the_page_says(printed).rstrip().splitlines()

    def over(self, begin):
        printed, over, _ = self.log.read_bytes()[begin:].partition(b"\nover:")
        return (printed.decode(),) if over else None

    def listens(self, server):
        host, port = self.names[server].split(":")
        try:
            socket.create_connection((host, int(port)), 1).close()
        except OSError:
            return None
        return ("",)

    def until(self, ready, command):
        end = time.monotonic() + PATIENCE
        while not (found := ready()):
            if time.monotonic() > end or self.shell.poll() is not None:
                sys.exit(f"`{command}` is not over after {PATIENCE} s; {self.told()}")
            time.sleep(0.02)
        return found[0]

    def told(self):
        """What stands in every log of the folder."""
        logs = [self.log, *self.log.parent.glob("*.log")]
        return "\n".join(f"--- {log.name}\n{log.read_text()}" for log in logs)

    def stop(self):
        try:
            os.killpg(self.shell.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
        self.shell.wait()


def as_shown(session, command, shown):
    """Runs the command. What nobody waits for stands in the lineage a moment later, so it may be asked for again."""
    end = time.monotonic() + (15 if command.startswith("countersign lineage") else 0)
    while True:
        names = {}
        printed = session.run(command)
        if fits(shown, printed, names):
            session.names.update(names)
            return
        if time.monotonic() > end:
            sys.exit("\n".join([f"`{command}` printed", *printed, "", "and not", *shown]))
        time.sleep(0.2)


def main(example, *beside):
    for program in ("countersign", "curl", "bash"):
        if not shutil.which(program):
            sys.exit(f"{example.name}: there is no `{program}` on the path")
    page = steps((example / "README.md").read_text())
    with tempfile.TemporaryDirectory() as work:
        folder = pathlib.Path(work, "examples", example.name)
        shutil.copytree(example, folder, ignore=shutil.ignore_patterns("node_modules", "__pycache__", "keys", "*.db*"))
        shutil.copytree(example.parent.parent / "policies", pathlib.Path(work, "policies"))
        session = Session(folder)
        for path in beside:
            (folder / path.name).symlink_to(path)
        try:
            for command, shown in page:
                as_shown(session, command, shown)
        finally:
            session.stop()
    print(f"{example.name}: {len(page)} commands, each printed what its page shows")


if __name__ == "__main__":
    main(*(pathlib.Path(argument).resolve() for argument in sys.argv[1:]))
