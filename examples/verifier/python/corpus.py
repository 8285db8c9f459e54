"""Runs ../corpus.json through the Python verifier, and what else is to be tried of it. Says each case that is not as it should be."""
import http.server
import json
import pathlib
import sys
import threading

from countersign_verifier import Keys, Refused, Used, Verifier

failed = 0


def expect(name, wanted, action):
    global failed
    try:
        action()
        found = "taken"
    except Refused as refused:
        found = refused.reason
    if found != wanted:
        failed += 1
        print(f"{name}: {found}, and should be {wanted}")


class Known(dict):
    find = dict.get


def cases():
    corpus = json.loads(pathlib.Path(__file__).parent.with_name("corpus.json").read_text())
    keys = Known((key["kid"], key) for key in corpus["keys"])
    for case in corpus["cases"]:
        verifier = Verifier(corpus["issuer"], corpus["audience"], keys, clock=lambda: case["now"], **case["options"])
        request = case["authorization"], case["method"], case["target"], case["body"].encode()
        expect(case["name"], case["expect"], lambda: verifier.verify(*request))
        if case["expect"] == "taken":
            expect(case["name"] + ", again", "replayed", lambda: verifier.verify(*request))
    return len(corpus["cases"])


def memory():
    used = Used(most=2)
    expect("the first", "taken", lambda: used.take("a", 10, 0))
    expect("the second", "taken", lambda: used.take("b", 12, 0))
    expect("the first again", "replayed", lambda: used.take("a", 10, 9))
    expect("one more than there is room for", "unavailable", lambda: used.take("c", 20, 9))
    expect("once one has expired", "taken", lambda: used.take("c", 20, 10))
    expect("another is still known", "replayed", lambda: used.take("b", 12, 11))


def rotation():
    published, asked, now = {"kid": "a"}, [], [0]

    class Door(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            body = json.dumps({"keys": [published]}).encode()
            self.send_response(200 if published else 500)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    door = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=door.serve_forever, daemon=True).start()
    keys = Keys(f"http://127.0.0.1:{door.server_port}/", clock=lambda: now[0])

    def finds(at, kid, wanted, fetches):
        now[0] = at
        found = keys.find(kid) is not None
        if (found, len(asked)) != (wanted, fetches):
            raise Refused(f"found {found} after {len(asked)} fetches")

    for at, kid, wanted, fetches in ((0, "a", True, 1), (1, "b", False, 1), (6, "b", False, 2), (7, "x", False, 2)):
        expect(f"{kid} at {at}", "taken", lambda: finds(at, kid, wanted, fetches))
    published["kid"] = "b"
    expect("the next key, soon", "taken", lambda: finds(12, "b", True, 3))
    expect("the former one is gone", "taken", lambda: finds(13, "a", False, 3))
    published.clear()
    expect("what is kept is good for a while", "taken", lambda: finds(311, "b", True, 3))
    expect("and then nobody can tell", "unavailable", lambda: finds(312, "b", True, 4))
    expect("nor does anybody ask each time", "unavailable", lambda: finds(313, "b", True, 4))
    door.shutdown()


count = cases()
memory()
rotation()
print(f"python: {count} cases, {failed} not as they should be")
sys.exit(failed != 0)
