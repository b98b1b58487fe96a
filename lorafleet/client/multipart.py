"""``multipart/form-data`` from files on disk, read while it is sent."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lorafleet.contracts.problems import NoInputError

_BLOCK = 1 << 20


@dataclass(frozen=True)
class FormFile:
    """A file, and the name it has inside the data set."""

    name: str
    path: Path


class MultipartBody:
    """A request's body with a known length. Iterating reads the files; one that changes meanwhile breaks the request off.

    Raises:
        NoInputError: a file cannot be read, or not any more.
    """

    def __init__(self, files: Sequence[FormFile]) -> None:
        self._boundary = secrets.token_hex(16)
        self._parts = [(self._head(file.name), file.path, _size(file.path)) for file in files]
        self._tail = f"--{self._boundary}--\r\n".encode()
        self._length = sum(len(head) + size + 2 for head, _, size in self._parts) + len(self._tail)

    @property
    def content_type(self) -> str:
        """The request's Content-Type."""
        return f"multipart/form-data; boundary={self._boundary}"

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        for head, path, size in self._parts:
            yield head
            yield from _blocks(path, size)
            yield b"\r\n"
        yield self._tail

    def _head(self, name: str) -> bytes:
        # Browsers escape these three in a name and nothing else.
        safe = name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")
        return (
            f'--{self._boundary}\r\nContent-Disposition: form-data; name="files"; filename="{safe}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise _unreadable(path, error) from None


def _blocks(path: Path, size: int) -> Iterator[bytes]:
    left = size
    try:
        with path.open("rb") as file:
            while left and (block := file.read(min(_BLOCK, left))):
                left -= len(block)
                yield block
    except OSError as error:
        # As it is the session would take it for trouble with the network.
        raise _unreadable(path, error) from None
    if left:
        raise NoInputError("the file became shorter while it was sent", where=str(path), hint="send it again")


def _unreadable(path: Path, error: OSError) -> NoInputError:
    return NoInputError(f"the file cannot be read: {error.strerror}", where=str(path))
