"""An upstream that answers each call with what was recorded for its session.

`PUT /sessions/ID` with a list of {"tool", "args", "answer"} says what; `POST /tools/NAME` with `X-Session: ID` and JSON
arguments gets the first answer not given yet for these arguments. Prints its port, and ends with its standard input.
"""
import http.server
import json
import os
import sys
import threading

sessions = {}


class Upstream(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def body(self):
        return json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"null")

    def reply(self, status, value):
        body = json.dumps(value, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        sessions[self.path.rpartition("/")[2]] = self.body()
        self.reply(200, None)

    def do_POST(self):
        recorded, arguments = sessions.get(self.headers.get("x-session"), []), self.body()
        tool = self.path.rpartition("/")[2]
        for index, step in enumerate(recorded):
            if (step["tool"], step["args"]) == (tool, arguments):
                return self.reply(200, recorded.pop(index)["answer"])
        self.reply(404, {"error": f"nothing was recorded for {tool} with these arguments"})

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    os._exit(0)
