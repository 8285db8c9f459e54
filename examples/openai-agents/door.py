"""What an agent's framework needs of the sidecar: a task is opened, calls are made in it, and a question is waited for."""
import asyncio
import json
import pathlib
import urllib.error
import urllib.request

DOOR = "http://127.0.0.1:7080"


def send(method, path, headers, body=None):
    """Status and JSON of the answer, whatever the status."""
    request = urllib.request.Request(DOOR + path, json.dumps(body).encode() if body else None, headers, method=method)
    if body:
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.load(refusal)


class Task:
    """One task. Neither its token nor the framework's is shown to the model."""

    def __init__(self, prompt, actions):
        token = pathlib.Path("framework.token").read_text().strip()
        wanted = {"goal": prompt, "values": [prompt], "actions": [{"action": f"desk/{action}"} for action in actions]}
        status, task = send("POST", "/-/tasks", {"Authorization": f"Bearer {token}"}, wanted)
        if status != 201:
            raise RuntimeError(f"no task: {task}")
        self.prompt, self.headers = prompt, {"Agent-Task": task["token"]}

    async def call(self, action, method, path, body=None):
        """What the model is told: the tool's answer, or that there was none, and which kind of no it was."""
        intent = f"action={json.dumps(action)}, purpose={json.dumps(self.prompt)}"
        status, answer = await asyncio.to_thread(send, method, f"/desk/{path}", self.headers | {"Agent-Intent": intent}, body)
        print(f"  {action:15} {path:20} {status} {answer.get('code', '')}".rstrip(), flush=True)
        if status != 428:
            return heard(status, answer)
        url = answer["approval"]["url"]
        state = await self.answer(url)
        print(f"  somebody was asked: {state}", flush=True)
        if state != "approved":
            return json.dumps({"refused": state})
        # The call itself was kept by the sidecar: these are its very bytes.
        status, answer = await asyncio.to_thread(send, "POST", f"{url}/resume", self.headers)
        print(f"  {action:15} {path:20} {status} {answer.get('code', '')}".rstrip(), flush=True)
        return heard(status, answer)

    async def answer(self, url):
        """Waits until somebody has answered, or the question is over."""
        while True:
            _, standing = await asyncio.to_thread(send, "GET", url, self.headers)
            if standing["state"] != "waiting":
                return standing["state"]
            await asyncio.sleep(0.2)


def heard(status, answer):
    """A refusal of the sidecar has a code; what else is not 2xx was said by the tool."""
    if status < 300:
        return json.dumps(answer)
    return json.dumps({"refused": answer["code"]} if "code" in answer else {"failed": status})
