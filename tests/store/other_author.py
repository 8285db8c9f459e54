"""Reads a log that we exported (c2sp.org/tlog-tiles) and our receipts with somebody else's library: aics-tlog, from PyPI.

    other_author.py DIR VKEY KEPT-CHECKPOINT RECEIPT

Exits with 0 if that library finds all of it sound, and with 1 if it does not.
"""

import base64
import pathlib
import sys

import aics_tlog as tlog

folder, vkey, kept, receipt = sys.argv[1:]
key = tlog.parse_vkey(vkey)


def checkpoint(text):
    note = tlog.parse_note(text)
    result = tlog.verify_checkpoint(note, key)
    assert result.ok, f"the checkpoint: {result}"
    return tlog.parse_checkpoint(note.text)


now = checkpoint(pathlib.Path(folder, "checkpoint").read_text())
before = checkpoint(pathlib.Path(kept).read_text())
reader = tlog.HttpTileReader([pathlib.Path(folder).resolve().as_uri() + "/"])
tlog.audit_tiles(reader, now.size, now.root)
tiles = tlog.VerifiedTileReader(reader, now.size, now.root)
path = tlog.consistency_proof_from_tiles(tiles, before.size, now.size)
assert tlog.verify_consistency(before.size, now.size, before.root, now.root, path), "it does not continue the kept one"

head, note = pathlib.Path(receipt).read_text().split("\n\n", 1)
proof, extra, index, *steps = head.split("\n")
told = checkpoint(note)
entry, index = base64.b64decode(extra.removeprefix("extra ")), int(index.removeprefix("index "))
steps = [base64.b64decode(step) for step in steps]
assert tlog.verify_leaf_inclusion(entry, index, told.size, steps, told.root), "the receipt proves nothing"
assert tiles.entry(index) == entry, "the receipt is of another entry than the log's"
print(f"sound: {now.size} entries, {before.size} of them before; entry {index} is proven")
