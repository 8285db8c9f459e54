"""Checks a lineage's receipts and tiles without any of its code: Python's standard library, RFC 8032, and the page
docs/lineage-format.md with the C2SP specifications that it names.

    stranger.py receipt FILE VKEY            one receipt (c2sp.org/tlog-proof)
    stranger.py tiles DIR VKEY [CHECKPOINT]  a whole log (c2sp.org/tlog-tiles), and that it continues a kept checkpoint
"""

import base64
import hashlib
import json
import pathlib
import sys


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def leaf(entry):
    return sha(b"\x00", entry)


def node(left, right):
    return sha(b"\x01", left, right)


def unbase64(text):
    return base64.b64decode(text, validate=True)


def number(text):
    assert text.isascii() and text.isdigit() and (text == "0" or text[0] != "0"), f"`{text}` is no plain number"
    return int(text)


# RFC 8032 section 5.1, verification only, as its appendix describes the arithmetic.
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_1 = pow(2, (P - 1) // 4, P)


def recover_x(y, sign):
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * ROOT_OF_MINUS_1 % P
    assert (x * x - x2) % P == 0, "no point of the curve"
    return P - x if x & 1 != sign else x


def point(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    assert y < P
    x = recover_x(y, sign)
    return x, y, 1, x * y % P


def add(a, b):
    p, q = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    r, s = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = q - p, s - r, s + r, q + p
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(scalar, a):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = add(result, a)
        a, scalar = add(a, a), scalar >> 1
    return result


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE_X = recover_x(BASE_Y, 0)
BASE = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)


def is_signed(key, message, signature):
    if len(signature) != 64:
        return False
    a, r, s = point(key), point(signature[:32]), int.from_bytes(signature[32:], "little")
    if s >= ORDER:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % ORDER
    left, right = times(s, BASE), add(r, times(h, a))
    same = lambda i: (left[i] * right[2] - right[i] * left[2]) % P == 0
    return same(0) and same(1)


def checkpoint(note, vkey):
    """The size and root that a signed note gives (c2sp.org/signed-note, c2sp.org/tlog-checkpoint)."""
    name, key_id, key = vkey.split("+", 2)
    key = unbase64(key)
    assert key[0] == 1 and bytes.fromhex(key_id) == sha(name.encode(), b"\n", key)[:4], "the key is not its name's"
    text, signatures = note.rsplit("\n\n", 1)
    text += "\n"
    assert signatures.endswith("\n")
    signed = False
    for line in signatures.removesuffix("\n").split("\n"):
        dash, signer, blob = line.split(" ")
        blob = unbase64(blob)
        assert dash == "\u2014"
        if signer == name and blob[:4] == bytes.fromhex(key_id):
            assert is_signed(key[1:], text.encode(), blob[4:]), "the signature does not fit"
            signed = True
    assert signed, "not signed by this key"
    origin, size, root = text.split("\n")[:3]
    assert origin == name, "the checkpoint is of another log"
    root = unbase64(root)
    assert len(root) == 32
    return number(size), root


def root_from(entry_hash, index, size, path):
    """RFC 9162 section 2.1.3.2."""
    assert index < size, "beyond the tree"
    fn, sn, r = index, size - 1, entry_hash
    for p in path:
        assert sn != 0 and len(p) == 32, "the path is too long"
        if fn & 1 or fn == sn:
            r = node(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node(r, p)
        fn, sn = fn >> 1, sn >> 1
    assert sn == 0, "the path is too short"
    return r


def tree(leaves):
    """RFC 6962 section 2.1."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha()
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return node(tree(leaves[:half]), tree(leaves[half:]))


def receipt(file, vkey):
    head, note = pathlib.Path(file).read_bytes().decode().split("\n\n", 1)
    lines = head.split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1", "no receipt"
    word, extra = lines[1].split(" ")
    assert word == "extra"
    entry = unbase64(extra)
    word, index = lines[2].split(" ")
    assert word == "index"
    size, root = checkpoint(note, vkey)
    path = [unbase64(step) for step in lines[3:]]
    assert root_from(leaf(entry), number(index), size, path) == root, "no way leads from the entry to the root"
    told = json.loads(entry)
    print(f"proven: entry {index} of {size}, {told['kind']} of call {told.get('call')} at {told['at']}")


def tile_path(folder, level, index, width):
    groups, left = [f"{index % 1000:03}"], index // 1000
    while left:
        groups.insert(0, f"x{left % 1000:03}")
        left //= 1000
    return pathlib.Path(folder, "tile", level, *groups[:-1], groups[-1] + (f".p/{width}" if width < 256 else ""))


def tiles(folder, vkey, kept=None):
    size, root = checkpoint(pathlib.Path(folder, "checkpoint").read_bytes().decode(), vkey)
    leaves = []
    for index in range((size + 255) // 256):
        width = min(256, size - index * 256)
        bundle, count = tile_path(folder, "entries", index, width).read_bytes(), 0
        while bundle:
            length = int.from_bytes(bundle[:2], "big")
            assert len(bundle) >= 2 + length, "a torn entry"
            json.loads(bundle[2 : 2 + length])
            leaves.append(leaf(bundle[2 : 2 + length]))
            bundle, count = bundle[2 + length :], count + 1
        assert count == width, f"bundle {index} has {count} entries"
    level, row = 0, leaves
    while row:
        for index in range((len(row) + 255) // 256):
            part = row[index * 256 : index * 256 + 256]
            stored = tile_path(folder, str(level), index, len(part)).read_bytes()
            assert stored == b"".join(part), f"tile {level}/{index} does not hold what lies below it"
        row = [tree(row[at : at + 256]) for at in range(0, len(row) - 255, 256)]
        level += 1
    assert tree(leaves) == root, "the entries have another root than the checkpoint says"
    told = f"sound: {size} entries"
    if kept:
        before, old_root = checkpoint(pathlib.Path(kept).read_bytes().decode(), vkey)
        assert before <= size and tree(leaves[:before]) == old_root, "it does not continue the kept checkpoint"
        told += f", which continue the {before} before"
    print(told)


if __name__ == "__main__":
    {"receipt": receipt, "tiles": tiles}[sys.argv[1]](*sys.argv[2:])
