"""The calls that a tool's own Python client makes, one a line: `GET /v1/models`.

published.py NAME FOLDER: FOLDER is where the client's package was unpacked. Nothing of it is run."""

import pathlib
import re
import sys

name, folder = sys.argv[1], pathlib.Path(sys.argv[2])
found = set()
if name == "slack":
    # Each method can be asked for by GET and by POST.
    text = (folder / "slack_sdk/web/client.py").read_text()
    for method in re.findall(r'api_call\(\s*"([A-Za-z0-9.]+)"', text):
        found |= {f"GET /{method}", f"POST /{method}"}
else:
    call = re.compile(r'self\._(get|post|put|patch|delete|get_api_list)\(\s*(?:path_template\(\s*)?f?"([^"?]+)')
    for path in (folder / name / "resources").rglob("*.py"):
        for function in re.split(r"\n    (?:async )?def ", path.read_text()):
            for verb, target in call.findall(function):
                if verb == "get_api_list":
                    verb = "post" if 'method="post"' in function else "get"
                # Anthropic's beta calls differ from the others by a query alone, which is left out here.
                found.add(f"{verb.upper()} {target}")
print("\n".join(sorted(found)))
