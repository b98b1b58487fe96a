"""A container registry that says it holds every digest but those that a test takes out."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Registry:
    """``missing`` are digests that it does not hold."""

    def __init__(self) -> None:
        self.missing: set[str] = set()
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                digest = self.path.rpartition("/")[2]
                self.send_response(404 if digest in registry.missing else 200)
                self.send_header("Docker-Content-Digest", digest)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
