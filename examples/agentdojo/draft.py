"""A catalog for a suite that nobody has written one for: from what its tools may do, and what their arguments are called."""
import re

VERBS = (
    ("delete", r"delete|remove|cancel|clear|revoke|uninvite"),
    ("spend", r"pay|transfer|money|buy|purchase|order|checkout|refund|book|reserve"),
    ("send", r"send|post|email|mail|share|message|invite|reply|forward|publish|tweet|notify"),
)
AIMS = (
    ("destination", r"recipients?|to|cc|bcc|emails?|.*_email|email_.*|address|url|link|channel|iban|account|payee|street|phone.*"),
    ("object", r"id|ids|.*_ids?|file|path|.*_path|repo.*|user|username|member|password|hotel|company|restaurant|product.*"),
    ("text", r"body|content|text|message|description|comment|subject|note.*"),
    ("words", r"title|name|.*_name|filename|label"),
)
TRUSTED = ("id", "id_", "sender", "recipients", "participants", "owner")


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


def catalog(found, suite):
    """Everything a suite's rows show of its tools, as a catalog."""
    tools, permissions = {}, {}
    rows = [row for row in found.runs if row["suite"] == suite]
    rows += [row for kind in (found.user, found.injection) for row in kind.get(suite, {}).values()]
    for row in rows:
        permissions |= row.get("perm") or {}
        for call in row["calls"]:
            seen = tools.setdefault(call["tool"], {})
            for name, value in call["args"].items():
                seen[name] = seen.get(name, False) or isinstance(value, (str, list))
    actions = [f"# Drafted for `{suite}`: read every line before it guards anything."]
    for tool in sorted(tools | dict.fromkeys(permissions)):
        actions.append(action(tool, effect(tool, permissions.get(tool, "Write")), tools.get(tool, {})))
    return "\n\n".join(actions) + "\n"


def action(tool, does, arguments):
    listed = ", ".join(f'{{ at = "body:/{name}", kind = "{kind}" }}' for name, kind in sinks(arguments, does == "read"))
    lines = [f'[actions."{tool}"]', f'match = "POST /tools/{tool}"', f'effect = "{does}"', f'resource = "{tool}"']
    if listed:
        lines.append(f"sinks = [{listed}]")
    if does == "read":
        fields = "".join(f', {{ at = "/*/{name}", label = "trusted" }}' for name in TRUSTED)
        lines.append(f'yields = [{{ at = "", label = "private" }}, {{ at = "", label = "untrusted" }}{fields}]')
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
