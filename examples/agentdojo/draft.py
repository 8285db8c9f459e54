"""A catalog for a suite that nobody has written one for: from what its tools may do, and what their arguments are called."""
import re

import traces

VERBS = (
    ("delete", r"delete|remove|cancel|clear|revoke|uninvite"),
    ("spend", r"pay|transfer|money|buy|purchase|order|checkout|refund|book|reserve"),
    ("send", r"send|post|email|mail|share|message|invite|reply|forward|publish|tweet|notify"),
)
AIMS = (
    ("object", r"ids?|.*_ids?"),
    ("destination", r"recipients?|to|cc|bcc|emails?|.*_email|email_.*|address|url|link|channel|iban|account|payee|street|phone.*"),
    ("object", r"file|path|.*_path|repo.*|user|username|member|password|hotel|company|restaurant|product.*"),
    ("text", r"body|content|text|message|description|comment|subject|note.*"),
    ("words", r"title|name|.*_name|filename|label"),
)
# What a provider itself fills in. Everything else in an answer may be a stranger's words.
VOUCHED = r"id_?|ids|.*_ids?|sender|from|recipients|participants|owner|author|username|login"


def effect(tool, permission):
    if permission == "Read":
        return "read"
    for name, pattern in VERBS:
        if re.search(rf"(^|_)({pattern})", tool.lower()):
            return name
    return "execute" if permission == "Execute" else "write"


def aim(argument):
    return next((kind for kind, pattern in AIMS if re.fullmatch(pattern, argument.lower())), None)


def sinks(arguments, reads):
    for argument, text in sorted(arguments.items()):
        if reads:
            if re.fullmatch(r"url|link", argument.lower()):
                yield argument, "destination"
            elif text:
                yield argument, "source"
        elif aim(argument):
            yield argument, aim(argument)


def fields(value, at="", depth=0):
    """Where in an answer the provider's own fields are, as pointers."""
    if depth > 4:
        return
    if isinstance(value, list):
        for inner in value:
            yield from fields(inner, f"{at}/*", depth + 1)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if not re.fullmatch(r"\w+", str(name)):
                yield from fields(inner, f"{at}/*", depth + 1)
            elif re.fullmatch(VOUCHED, name.lower()):
                yield f"{at}/{name}"
            else:
                yield from fields(inner, f"{at}/{name}", depth + 1)


def catalog(found, suite):
    """Everything that a suite's rows show of its tools, as a catalog."""
    tools, vouched, permissions = {}, {}, {}
    rows = [row for row in found.runs if row["suite"] == suite]
    rows += [row for kind in (found.user, found.injection) for row in kind.get(suite, {}).values()]
    for row in rows:
        permissions |= row.get("perm") or {}
        for call in row["calls"]:
            seen = tools.setdefault(call["tool"], {})
            for name, value in call["args"].items():
                seen[name] = seen.get(name, False) or isinstance(value, (str, list))
            vouched.setdefault(call["tool"], set()).update(fields(traces.answer(call.get("output"))))
    actions = [f"# Drafted for `{suite}`: read every line before it guards anything."]
    for tool in sorted(tools | dict.fromkeys(permissions)):
        does = effect(tool, str(permissions.get(tool, "Write")).capitalize())
        actions.append(action(tool, does, tools.get(tool, {}), sorted(vouched.get(tool, ()))))
    return "\n\n".join(actions) + "\n"


def action(tool, does, arguments, vouched):
    listed = ", ".join(f'{{ at = "body:/{name}", kind = "{kind}" }}' for name, kind in sinks(arguments, does == "read"))
    labels = [("", "private"), ("", "untrusted")] if does == "read" else []
    brought = ", ".join(f'{{ at = "{at}", label = "{label}" }}' for at, label in labels + [(at, "trusted") for at in vouched])
    lines = [f'[actions."{tool}"]', f'match = "POST /tools/{tool}"', f'effect = "{does}"', f'resource = "{tool}"']
    lines += [f"{key} = [{value}]" for key, value in (("sinks", listed), ("yields", brought)) if value]
    return "\n".join(lines)


def configuration(suite):
    """The agent and the tool of a drafted suite, to be put behind the configuration."""
    return f"""
[agents.{suite}]
identify = [{{ all = [{{ peer = {{ uid = 1000 }} }}, {{ token = {{ file = "{suite}.token" }} }}] }}]
open_tasks = [{{ token = {{ file = "framework.token" }} }}]
tools = ["{suite}"]
groups = ["night-shift"]

[tools.{suite}]
upstream = "http://127.0.0.1:9001"
catalog = "catalogs/{suite}.toml"
issuer = "calls"
networks = ["127.0.0.0/8"]
plaintext = true
request_headers = ["x-session"]
"""
