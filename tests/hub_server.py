"""A small hub on loopback: serves a timm-shaped repository as huggingface.co does, faults included."""

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "c0ffee" * 6 + "abcd"


class HubFile:
    """A hub that serves one repository while the `with` block lasts.

    Args:
        repo: str, e.g. `"timm/rexnet_100.nav_in1k"`.
        weights: bytes of `model.safetensors`.
        commit: str, what the branch `main` points to.
        cut: int or None: a transfer ends after so many bytes of the file, resumed or not.
        corrupt: bool, one byte of what is sent differs from what the digest says.
    """

    def __init__(self, repo, weights, commit=COMMIT, cut=None, corrupt=False):
        config = json.dumps({"architecture": repo, "num_classes": 1000}).encode()
        self.repo, self.commit, self.cut, self.corrupt = repo, commit, cut, corrupt
        self.files = {"config.json": config, "model.safetensors": weights}
        self.requests = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def count(self, method):
        """How often `model.safetensors` was requested by `method`."""
        return sum(kind == method and path.endswith(".safetensors") for kind, path in self.requests)

    def _handler(self):
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_HEAD(self):
                self._answer(body=False)

            def do_GET(self):
                self._answer(body=True)

            def _answer(self, body):
                hub.requests.append((self.command, self.path))
                match = re.fullmatch(rf"/{hub.repo}/resolve/([^/]+)/(.+)", self.path)
                revision, name = match.groups() if match else (None, None)
                if name not in hub.files or revision not in ("main", hub.commit):
                    self.send_response(404)
                    self.send_header("X-Error-Code", "EntryNotFound")
                    self.send_header("X-Repo-Commit", hub.commit)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self._send(hub.files[name], body)

            def _send(self, data, body):
                digest = hashlib.sha256(data).hexdigest()
                wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
                start = int(wanted[1]) if wanted else 0
                self.send_response(206 if wanted else 200)
                if wanted:
                    self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
                self.send_header("Content-Length", f"{len(data) - start}")
                self.send_header("Accept-Ranges", "bytes")
                self.send_header("ETag", f'"{digest}"')
                self.send_header("X-Linked-ETag", f'"{digest}"')
                self.send_header("X-Linked-Size", f"{len(data)}")
                self.send_header("X-Repo-Commit", hub.commit)
                self.end_headers()
                if body:
                    self._write(data, start)

            def _write(self, data, start):
                if hub.corrupt:
                    data = data[:-1] + bytes([data[-1] ^ 1])
                self.wfile.write(data[start : hub.cut])
                if hub.cut is not None:
                    self.close_connection = True

        return Handler
