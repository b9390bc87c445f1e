"""A local server of a site, with the headers that its host should send. Standard library only."""

import errno
import functools
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HOST = "127.0.0.1"
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
    "connect-src 'self'; img-src 'self' blob:; media-src 'self' blob:; style-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'"
)
# The first two make a page cross-origin isolated. Without them it runs on one thread.
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'self'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".tflite": "application/octet-stream",
}


def headers_file() -> str:
    """Returns the text of `_headers`, from which Netlify, Cloudflare Pages and others take headers."""
    lines = "".join(f"  {name}: {value}\n" for name, value in HEADERS.items())
    immutable = "  Cache-Control: public, max-age=31536000, immutable\n"
    return f"/*\n{lines}/models/*\n{immutable}/litert-*\n{immutable}"


def server(
    folder: Path, port: int = 8000, headers: dict[str, str] = HEADERS
) -> ThreadingHTTPServer:
    """Returns a server of a site that only this machine can reach; its `serve_forever` runs it.

    Args:
        folder: path of the site.

        port: int, 0 for any free one. Default: 8000.

        headers: mapping, sent with every file. Default: `HEADERS`.

    Raises:
        ValueError: if the folder is no site.

        OSError: if the port is in use.

    Example:
        >>> with server(Path("build/web")) as running:
        ...     running.serve_forever()
    """
    if not (folder / "site.json").is_file():
        raise ValueError(f"`folder` must be a site that `newnet web` wrote. Received: {folder}")

    class Handler(SimpleHTTPRequestHandler):
        extensions_map = SimpleHTTPRequestHandler.extensions_map | TYPES
        protocol_version = "HTTP/1.1"

        def end_headers(self):
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Cache-Control", "no-cache")
            super().end_headers()

        def log_message(self, *_):
            """Logs nothing: the browser shows what fails."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request, address):
            """Ignores closed connections, as when the user leaves a page."""
            if not isinstance(sys.exception(), ConnectionError):
                super().handle_error(request, address)

    try:
        return Server((HOST, port), functools.partial(Handler, directory=str(folder)))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise OSError(f"`port` must be free (0 for any). Received: {port}, in use") from error
