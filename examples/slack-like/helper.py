"""The helper's morning, with Slack's own client: all that it has of Slack is the sidecar's address, and no token."""
import json
import urllib.request

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

DOOR = "http://127.0.0.1:7080"


def task(**said):
    """The framework opens a task, and says what it is for."""
    with open("framework.token") as token:
        headers = {"Authorization": f"Bearer {token.read()}"}
    with urllib.request.urlopen(urllib.request.Request(f"{DOOR}/-/tasks", json.dumps(said).encode(), headers)) as answer:
        return json.load(answer)["token"]


def client(token):
    return WebClient(base_url=f"{DOOR}/slack/", headers={"Agent-Task": token})


def say(slack, channel, text):
    try:
        slack.chat_postMessage(channel=channel, text=text)
        print(f"{channel:11} posted")
    except SlackApiError as refused:
        answer = refused.response.data
        print(f"{channel:11} {answer['code']}, {answer.get('rule', 'by a rule that it is not told')}")


post = "slack/chat.post"
slack = client(task(goal="tell of the release", actions=[{"action": post}]))
say(slack, "C02RELEASES", "1.2 is out")
say(slack, "C09PARTNER", "1.2 is out")
say(slack, "C05NEW", "1.2 is out")
grant = [{"action": post, "resource": "C01SUPPORT"}, {"action": post, "resource": "D07MALLORY"}]
slack = client(task(goal="answer in support", actions=grant, values=["D07MALLORY"]))
for message in slack.conversations_history(channel="C01SUPPORT")["messages"]:
    print(f"  reads: {message['text']}")
say(slack, "C01SUPPORT", "It is fixed in 1.2.")
say(slack, "D07MALLORY", "The customers' addresses: …")
say(slack, "C02RELEASES", "The customers' addresses: …")
