"""A name server that knows a few names, for what runs in the enclosure."""

import socket
import struct
import threading
from collections.abc import Mapping

_HEADER = struct.Struct("!HHHHHH")
_ANSWER, _NO_SUCH_NAME = 0x8400, 0x8403
_A, _POINTER = 1, 0xC00C
_SECONDS = 30


class Names:
    """Answers for ``known``, names to IPv4 addresses, at ``address``, port 53. There is no other name. See RFC 1035, section 4."""

    def __init__(self, address: str, known: Mapping[str, str]) -> None:
        self._known = known
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                question, whence = self._socket.recvfrom(512)
                self._socket.sendto(self._answer(question), whence)
            except OSError:
                return

    def _answer(self, message: bytes) -> bytes:
        labels, at = [], _HEADER.size
        while length := message[at]:
            labels.append(message[at + 1 : at + 1 + length].decode("ascii"))
            at += 1 + length
        asked = message[_HEADER.size : at + 5]
        address = self._known.get(".".join(labels).lower())
        (number,) = struct.unpack("!H", message[:2])
        (kind,) = struct.unpack("!H", message[at + 1 : at + 3])
        if address is None:
            return _HEADER.pack(number, _NO_SUCH_NAME, 1, 0, 0, 0) + asked
        if kind != _A:
            return _HEADER.pack(number, _ANSWER, 1, 0, 0, 0) + asked
        record = struct.pack("!HHHLH", _POINTER, _A, 1, _SECONDS, 4) + socket.inet_aton(address)
        return _HEADER.pack(number, _ANSWER, 1, 1, 0, 0) + asked + record
