"""Runs the commands that an example's README shows, in a folder of its own that is gone afterwards, and compares.

    walk.py FOLDER      `countersign` is on the path, or COUNTERSIGN says where it is

Ports, ids, times and this user differ from run to run and may differ; `[..]` leaves out anything, on a line of its own any
lines. The example's ports are led to free ones, so nothing else that runs here is in the way.
"""
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

# What is another one each time. The first kind gives names: what the page calls so is called by the new name from then on.
NAMED = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|cst_[\w-]{43}|\b[0-9a-f]{32}\b"
PASSING = r"\d{4}-\d\d-\d\dT[\d:.]+Z|\b[0-9a-f]{64}\b|uid:\d+|127\.0\.0\.1:\d+|\b\d+(?:\.\d+)?(?= ms\b)"
PATIENCE = 15


def steps(page):
    """Each command of the page's `console` blocks, with the lines that it prints."""
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


def pattern(lines):
    """What fits the page's lines, and the names in them, in their order."""
    text, names = "", []

    def fitting(found):
        if found["name"]:
            names.append(found["name"])
            return f"({NAMED})"
        if found["passing"]:
            return f"(?:{PASSING})"
        if found[0] == "[..]":
            return ".*?"
        return " +" if found[0].isspace() else re.escape(found[0])

    for line in lines:
        if line.strip() == "[..]":
            text += r"(?:.*\n)*?"
        else:
            part = rf"(?P<name>{NAMED})|(?P<passing>{PASSING})|\[\.\.\]| +|."
            text += re.sub(part, fitting, line.rstrip()) + r" *\n"
    return text, names


def free_ports(number):
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Walk:
    def __init__(self, folder):
        self.names = {f"127.0.0.1:{old}": f"127.0.0.1:{new}" for old, new in zip((7080, 7081, 9001), free_ports(3))}
        self.names["uid = 1000"] = f"uid = {os.geteuid()}"
        self.folder = folder
        command = shutil.which(os.environ.get("COUNTERSIGN", "countersign")) or sys.exit("walk.py: there is no `countersign`")
        path = f"{pathlib.Path(command).resolve().parent}:{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path, "NO_COLOR": "1"}

    def translate(self, text):
        for old, new in self.names.items():
            text = text.replace(old, new)
        return text

    def run(self, command, lines):
        fits, names = pattern(lines)
        deadline = time.monotonic() + PATIENCE
        while True:
            done = subprocess.run(["sh", "-c", self.translate(command)], cwd=self.folder, env=self.environment, text=True,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
            printed = done.stdout if done.stdout.endswith("\n") or not done.stdout else done.stdout + "\n"
            if match := re.fullmatch(fits, printed):
                self.names.update(zip(names, match.groups()))
                return printed
            # The lineage has what nobody waits for a moment later, so whoever only looks may look again.
            if "countersign lineage" not in command or time.monotonic() > deadline:
                sys.exit(f"$ {command}\nprinted\n{printed}\nand not\n" + "\n".join(lines))
            time.sleep(0.1)


def main(example):
    source = pathlib.Path(example).resolve()
    with tempfile.TemporaryDirectory() as work:
        folder = pathlib.Path(work) / "examples" / source.name
        walk = Walk(folder)
        shutil.copytree(source, folder)
        shutil.copytree(source.parents[1] / "policies", pathlib.Path(work) / "policies")
        for path in folder.rglob("*"):
            if path.is_file():
                path.write_text(walk.translate(path.read_text()))
        try:
            for command, lines in steps((source / "README.md").read_text()):
                print(f"$ {command}\n{walk.run(command, lines)}", end="", flush=True)
        finally:
            subprocess.run(["./stop.sh"], cwd=folder, check=False)
    print(f"{source.name}: every command printed what its page shows")


main(sys.argv[1])
