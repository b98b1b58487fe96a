"""A stand-in of the console's calls that start and revoke a release."""

import json
from http.server import BaseHTTPRequestHandler
from typing import Any

from loopback_server import LoopbackServer


class FakeConsole(LoopbackServer):
    """Use as a context manager; accepts one releaser's token, and each release's own."""

    token = "releaser-token-of-the-tests"

    def __init__(self) -> None:
        self.registered: list[dict[str, Any]] = []
        self.revoked: list[str] = []
        self.answer: tuple[int, Any] | None = None
        super().__init__(_handler(self))

    def handle(self, path: str, token: str, body: Any) -> tuple[int, Any]:
        if self.answer is not None:
            return self.answer
        if path == "/api/v1/releases":
            if token != self.token:
                return 401, {"detail": "this token is not known"}
            self.registered.append(body)
            release = f"r{len(self.registered)}"
            return 201, {"release": release, "token": f"token-of-{release}", "expires_at": "2030-01-01T00:00:00Z"}
        _, release, action = path.rsplit("/", 2)
        if action == "revoke" and token == f"token-of-{release}":
            self.revoked.append(release)
            return 200, {"status": "PASS"}
        return 404, {"detail": "there is no such release"}


def _handler(console: FakeConsole) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            status, answer = console.handle(self.path, token, body)
            raw = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

    return Handler
