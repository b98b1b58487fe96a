"""A TCP proxy that does what networks do: refuses, breaks off, falls silent, is slow, flips bits."""

import socket
import struct
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

_BLOCK = 16 << 10


@dataclass(frozen=True)
class Fault:
    """What happens to a connection once ``after`` bytes went ``up`` (to the server) or ``down``."""

    kind: Literal["drop", "stall", "flip"]
    direction: Literal["up", "down"]
    after: int


class TcpProxy:
    """Listens on a free port of loopback. Each connection that moves ``after`` bytes takes the next of ``faults``, if there is one."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self.faults: deque[Fault] = deque()
        self.bytes_a_second: int | None = None
        self.met: list[Fault] = []
        self.moved = {"up": 0, "down": 0}
        self.port = 0
        self._open: set[socket.socket] = set()
        self.accept()

    def accept(self) -> None:
        """Listen, again on the same port after :meth:`refuse`."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def refuse(self) -> None:
        """Let nobody in."""
        # Without the shutdown the listening thread's accept() keeps the port open.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def close(self) -> None:
        """Refuse, and break off what is open."""
        self.refuse()
        self._break_off()

    def cut(self) -> None:
        """The same, also where nobody is let in already; :meth:`accept` heals it."""
        with suppress(OSError):
            self.refuse()
        self._break_off()

    def _break_off(self) -> None:
        for connection in list(self._open):
            _reset(connection)
        self._open.clear()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._upstream))
            except OSError:
                _reset(client)
                continue
            self._open |= {client, server}
            for direction, source, sink in (("up", client, server), ("down", server, client)):
                threading.Thread(target=self._pump, args=(direction, source, sink), daemon=True).start()

    def _pump(self, direction: str, source: socket.socket, sink: socket.socket) -> None:
        moved = 0
        try:
            while block := source.recv(_BLOCK):
                fault = self._take(direction, moved, len(block))
                if fault is not None and fault.kind == "drop":
                    sink.sendall(block[: fault.after - moved])
                    _reset(source)
                    _reset(sink)
                    return
                if fault is not None and fault.kind == "stall":
                    time.sleep(3600)
                if fault is not None:
                    position = fault.after - moved
                    block = block[:position] + bytes([block[position] ^ 1]) + block[position + 1 :]
                if self.bytes_a_second:
                    time.sleep(len(block) / self.bytes_a_second)
                sink.sendall(block)
                moved += len(block)
                self.moved[direction] += len(block)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def _take(self, direction: str, moved: int, count: int) -> Fault | None:
        if self.faults and self.faults[0].direction == direction and moved <= self.faults[0].after < moved + count:
            fault = self.faults.popleft()
            self.met.append(fault)
            return fault
        return None


def _reset(connection: socket.socket) -> None:
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    connection.close()
