"""A shop whose queue hangs until somebody restarts it."""
import http.server
import sys

queue = "hangs"


class Shop(http.server.BaseHTTPRequestHandler):
    def answer(self):
        global queue
        if self.command == "POST" and self.path == "/queue/mail/restart":
            queue = "runs"
        body = b'{"queue":"%s"}\n' % queue.encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = answer

    def log_message(self, *_):
        pass


host, port = sys.argv[1].split(":")
http.server.ThreadingHTTPServer((host, int(port)), Shop).serve_forever()
