"""TLS for a server that speaks plain HTTP on loopback, as a load balancer would add it."""

import contextlib
import socket
import ssl
import threading
from pathlib import Path

from tests.engines.pki import Authority
from tests.engines.processes import free_port


class TlsFront:
    """Decrypts on a port of its own and passes on. :meth:`refuse` closes the port and what is open, :meth:`listen` opens it again."""

    def __init__(self, host: str, authority: Authority, folder: Path, upstream: int, address: str = "127.0.0.1") -> None:
        self._address = address
        self.port = free_port()
        self._upstream = upstream
        pair = authority.server(host, [host])
        (folder / f"{host}.pem").write_bytes(pair.certificate + pair.key)
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(folder / f"{host}.pem")
        self._open: set[socket.socket] = set()
        self.listen()

    def listen(self) -> None:
        self._listener = socket.create_server((self._address, self.port), backlog=128)
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def refuse(self) -> None:
        # Without the shutdown the listening thread's accept() keeps the port open.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, plain: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            self._context.wrap_socket(plain, server_side=True) as client,
            socket.create_connection(("127.0.0.1", self._upstream)) as server,
        ):
            self._open |= {client, server}
            answering = threading.Thread(target=_pump, args=(server, client), daemon=True)
            answering.start()
            _pump(client, server)
            answering.join()
            self._open -= {client, server}


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while block := source.recv(1 << 16):
            sink.sendall(block)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
