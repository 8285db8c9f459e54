"""Receives OTLP over HTTP and reads it with the definitions that OpenTelemetry publishes. Prints its port, then each
message as a line of JSON."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf.json_format import MessageToJson
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

KINDS = {"/v1/traces": ExportTraceServiceRequest, "/v1/metrics": ExportMetricsServiceRequest}


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        message = KINDS[self.path]()
        message.ParseFromString(body)
        # What is not in the definitions would be kept as unknown, and written back; nothing may be.
        unknown = message.SerializeToString()
        message.DiscardUnknownFields()
        whole = message.SerializeToString() == unknown
        print(f'{{"path":"{self.path}","whole":{str(whole).lower()},"message":{MessageToJson(message, indent=None)}}}', flush=True)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_address[1], flush=True)
try:
    server.serve_forever()
except KeyboardInterrupt:
    sys.exit(0)
