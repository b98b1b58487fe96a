"""Sending one blob: whole where it is small, in parts where it is large, going on where a dropped connection ended."""

import re
from collections.abc import Callable
from typing import IO
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

import requests

from lorafleet.registry.errors import Damaged, Failed, NotHeld, Refused, RegistryError, Unreachable
from lorafleet.registry.manifests import Descriptor
from lorafleet.registry.transport import Scope, Transport

_OCTETS = "application/octet-stream"
_NOT_SATISFIABLE = 416
_BUSY = frozenset({429, 502, 503, 504})
# What registries answer that take a blob in one piece only.
_NO_PARTS = frozenset({400, 405, 411, 413, 415, 501})


class Part:
    """A part of a file that requests sends with its length in front."""

    def __init__(self, file: IO[bytes], start: int, size: int, progress: Callable[[int], None]) -> None:
        file.seek(start)
        self._file = file
        self._left = size
        self._size = size
        self._progress = progress

    def __len__(self) -> int:
        return self._size

    def read(self, count: int = -1) -> bytes:
        """The next bytes of the part."""
        block = self._file.read(self._left if count < 0 else min(count, self._left))
        self._left -= len(block)
        self._progress(len(block))
        return block

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Upload:
    """One blob's way into a repository."""

    def __init__(self, transport: Transport, scope: Scope, where: str, chunk_bytes: int, progress: Callable[[int], None]) -> None:
        self._transport = transport
        self._scope = scope
        self._where = where
        self._chunk_bytes = chunk_bytes
        self._progress = progress

    def send(self, descriptor: Descriptor, opened: Callable[[], IO[bytes]]) -> None:
        """Send it.

        Raises:
            Damaged: the registry found that the content is not what the digest names.
        """
        whole = descriptor.size <= self._chunk_bytes
        for attempt in range(self._transport.patience.attempts):
            try:
                location = self._start()
                if not whole:
                    try:
                        self._finish(self._in_parts(location, descriptor, opened), descriptor, None)
                        return
                    except _TakesNoParts:
                        whole, location = True, self._start()
                self._finish(location, descriptor, lambda: Part(opened(), 0, descriptor.size, self._progress))
                return
            except (Unreachable, _Lost):
                # The registry knows nothing of this upload any more; what it has of the image otherwise stays.
                if attempt == self._transport.patience.attempts - 1:
                    raise
                self._transport.wait(attempt)

    def _start(self) -> str:
        path = f"/v2/{self._scope.repository}/blobs/uploads/"
        with self._transport.request(
            "POST", path, self._scope, self._where, headers={"Content-Length": "0"}, expect=(202,)
        ) as answer:
            return self._location(answer.headers.get("Location", ""), path)

    def _in_parts(self, location: str, descriptor: Descriptor, opened: Callable[[], IO[bytes]]) -> str:
        position, broken = 0, 0
        while position < descriptor.size:
            size = min(self._chunk_bytes, descriptor.size - position)
            try:
                location, position = self._part(location, position, size, opened)
                broken = 0
            except Failed as error:
                if position == 0 and error.status in _NO_PARTS:
                    raise _TakesNoParts from None
                raise
            except Unreachable:
                broken += 1
                if broken >= self._transport.patience.attempts:
                    raise
                self._transport.wait(broken - 1)
                location, position = self._status(location)
        return location

    def _part(self, location: str, position: int, size: int, opened: Callable[[], IO[bytes]]) -> tuple[str, int]:
        headers = {"Content-Type": _OCTETS, "Content-Range": f"{position}-{position + size - 1}"}
        with self._asked("PATCH", location, headers, lambda: Part(opened(), position, size, self._progress), (202, 204)) as answer:
            reached = _end(answer.headers.get("Range", ""))
            reached = position + size if reached is None else reached
            if reached <= position:
                raise self._lost()
            return self._location(answer.headers.get("Location", ""), location), reached

    def _status(self, location: str) -> tuple[str, int]:
        """Where the registry wants to go on, after a connection was dropped."""
        with self._asked("GET", location, {}, None, (204,)) as answer:
            reached = _end(answer.headers.get("Range", ""))
            if reached is None:
                raise self._lost()
            return self._location(answer.headers.get("Location", "") or location, location), reached

    def _finish(self, location: str, descriptor: Descriptor, body: Callable[[], Part] | None) -> None:
        parts = urlsplit(location)
        query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), ("digest", descriptor.digest)])
        headers = {"Content-Type": _OCTETS} if body else {"Content-Length": "0"}
        with self._asked("PUT", urlunsplit(parts._replace(query=query)), headers, body, (201, 204)) as answer:
            named = answer.headers.get("Docker-Content-Digest", descriptor.digest)
        if named != descriptor.digest:
            raise Damaged(f"stored it under another digest, {named}", where=self._where)

    def _asked(
        self, method: str, location: str, headers: dict[str, str], body: Callable[[], Part] | None, expect: tuple[int, ...]
    ) -> requests.Response:
        # Asking where an upload ended may be said twice, sending may not.
        again = method == "GET"
        try:
            return self._transport.request(
                method, location, self._scope, self._where, headers=headers, body=body, expect=expect, again=again
            )
        except NotHeld:
            raise self._lost() from None
        except Failed as error:
            if error.status == _NOT_SATISFIABLE:
                raise self._lost() from None
            if error.status in _BUSY:
                raise Unreachable(error.problems) from None
            raise

    def _lost(self) -> "_Lost":
        return _Lost("it forgets uploads", where=self._where, hint="run the same again")

    def _location(self, given: str, asked: str) -> str:
        try:
            location = urljoin(urljoin(self._transport.base, asked), given)
            safe = bool(given) and self._transport.trusts(location)
        except ValueError:
            safe = False
        if not safe:
            raise Refused("gives no safe address to send to", where=self._where)
        return location


class _TakesNoParts(Exception):
    """The registry wants a blob in one piece."""


class _Lost(RegistryError):
    """The registry does not know the upload any more."""


def _end(header: str) -> int | None:
    """The first byte that is not there yet, by ``Range: 0-<last>``; None where the header says nothing."""
    found = re.fullmatch(r"(?:bytes=)?0-(\d+)", header.strip())
    if found is None:
        return None
    last = int(found[1])
    # Empty uploads are told as 0-0 by some registries, which is what one byte is told as, too.
    return last + 1 if last else 0
