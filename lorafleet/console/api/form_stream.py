"""A request's form for code that reads files: it runs in a thread, and each read waits for the network."""

import io
from collections.abc import AsyncIterator, Iterator
from typing import BinaryIO, cast

import anyio.from_thread

from lorafleet.console.api.multipart import PartBegins

_BUFFER = 1 << 18


class FormStream:
    """The files of a form, one after the other. Only to be used in a worker thread of anyio."""

    def __init__(self, events: AsyncIterator[PartBegins | bytes]) -> None:
        self._events = events
        self._next: PartBegins | None = None
        self._over = False

    def files(self) -> Iterator[tuple[str, BinaryIO]]:
        """Each file's name and content; what was not read of one is passed over when the next is asked for."""
        while True:
            while self._next is None and not self._over:
                self.piece()
            if self._next is None:
                return
            part, self._next = self._next, None
            if part.filename:
                yield part.filename, cast(BinaryIO, io.BufferedReader(_Part(self), _BUFFER))

    def piece(self) -> bytes:
        """The next piece of the part that is being read; empty at its end."""
        while self._next is None and not self._over:
            event = anyio.from_thread.run(self._event)
            if event is None:
                self._over = True
            elif isinstance(event, PartBegins):
                self._next = event
            elif event:
                return event
        return b""

    async def _event(self) -> PartBegins | bytes | None:
        return await anext(self._events, None)


class _Part(io.RawIOBase):
    def __init__(self, stream: FormStream) -> None:
        self._stream = stream
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._rest:
            self._rest = self._stream.piece()
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
