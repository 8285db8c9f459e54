"""Sees that every file which the sources below a folder include is there."""
import pathlib
import re
import sys

found = 0
for source in pathlib.Path(sys.argv[1]).rglob("*.rs"):
    for name in re.findall(r'include_(?:str|bytes)!\(\s*"([^"]+)"', source.read_text()):
        found += 1
        assert (source.parent / name).is_file(), f"{source}: `{name}` is not in the image's context"
assert found > 20, f"only {found} files are included"
print(f"the image's context: all {found} files that the sources include are in it")
