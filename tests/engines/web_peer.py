"""An HTTPS server on loopback that answers as a test tells it and remembers when it was asked what."""

import json
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.engines.pki import Authority
from tests.engines.processes import free_port


@dataclass(frozen=True)
class Request:
    """What was asked, and when by the monotonic clock."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    at: float = field(default_factory=time.monotonic)


Reply = tuple[int, Any] | tuple[int, Any, dict[str, str]]


class WebPeer:
    """Answers each request with what ``reply`` says; :meth:`refuse` closes the port, :meth:`listen` opens the same one again."""

    def __init__(self, host: str, authority: Authority, folder: Path, reply: Callable[[Request], Reply]) -> None:
        self.host = host
        self.port = free_port()
        self.requests: list[Request] = []
        self._reply = reply
        pair = authority.server(host, [host])
        (folder / f"{host}.pem").write_bytes(pair.certificate + pair.key)
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(folder / f"{host}.pem")
        self.listen()

    def url(self, path: str = "") -> str:
        return f"https://{self.host}:{self.port}{path}"

    def asked(self, path: str) -> list[Request]:
        return [request for request in self.requests if request.path == path]

    def listen(self) -> None:
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                request = Request(self.command, self.path, dict(self.headers), json.loads(body) if body else None)
                peer.requests.append(request)
                code, result, *headers = peer._reply(request)
                content = json.dumps(result).encode()
                self.send_response(code)
                for name, value in (headers[0] if headers else {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = answer

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.socket = self._context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def refuse(self) -> None:
        self._server.shutdown()
        self._server.server_close()
