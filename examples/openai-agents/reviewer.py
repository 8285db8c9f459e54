"""Sam, who is asked. Here a script agrees to what Sam would agree to: mail to an address that stands in Sam's contracts.

It speaks to the admin door, as the pages and `countersign approvals` do, and ends when it has answered once.
"""
import json
import pathlib
import time
import urllib.request

ADMIN = "http://127.0.0.1:7081"
CONTRACTS = {"billing@customer.example"}


def ask(method, path, body=None):
    headers = {"Authorization": "Bearer " + pathlib.Path("sam.token").read_text().strip(), "Content-Type": "application/json"}
    request = urllib.request.Request(ADMIN + path, json.dumps(body).encode() if body else None, headers, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


while not (waiting := [it for it in ask("GET", "/v1/approvals")["approvals"] if it["state"] == "waiting"]):
    time.sleep(0.2)
for question in waiting:
    to = question["args"]["to"]
    answer, why = ("approve", "stands in their contract") if to in CONTRACTS else ("deny", "nobody we know")
    print(f"sam: {question['agent']} wants {question['action']} to {to}, asked by {', '.join(question['rules'])}")
    ask("POST", f"/v1/approvals/{question['id']}/{answer}", {"why": why})
    print(f"sam: {answer}, {why}")
