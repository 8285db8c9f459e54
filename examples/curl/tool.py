"""The tool of this example: it keeps notes in memory, and does what it is told."""
import http.server

ADDRESS = "127.0.0.1:9001"
notes = {"/list.txt": b"buy milk\n"}


class Notes(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(notes.get(self.path))

    def do_DELETE(self):
        self.answer(notes.pop(self.path, None) and b"")

    def answer(self, body):
        self.send_response(404 if body is None else 200)
        self.send_header("content-type", "text/plain")
        self.send_header("content-length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_):
        pass


host, port = ADDRESS.split(":")
http.server.ThreadingHTTPServer((host, int(port)), Notes).serve_forever()
