"""What every object store can do. The adapters are :mod:`.folder`, :mod:`.http_folder` and :mod:`.bucket`."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from io import BufferedReader, RawIOBase
from typing import BinaryIO, Protocol, cast

from lorafleet.console.objects.errors import ObjectDamaged, ObjectMissing, StoreError
from lorafleet.contracts.jobs import Method, ObjectGrant
from lorafleet.contracts.layout import checked_key
from lorafleet.contracts.problems import ConfigError

BLOCK = 1 << 20


@dataclass(frozen=True)
class ObjectFacts:
    """One object: its key and its size in bytes."""

    key: str
    size: int


class Store(Protocol):
    """Objects by key, as :mod:`lorafleet.contracts.layout` forms them. Safe to use from several threads.

    Every method raises :class:`~lorafleet.console.objects.errors.StoreUnreachable` where the store does not answer,
    :class:`~lorafleet.console.objects.errors.StoreError` where it refuses, and ``ConfigError`` for a key that is none.
    """

    @property
    def name(self) -> str:
        """What grants and rows call the store."""
        ...

    def probe(self) -> None:
        """Ask for a sign of life, for ten seconds at most, apart from the name's resolution."""
        ...

    def head(self, key: str) -> ObjectFacts | None:
        """What there is under a key; None where there is nothing."""
        ...

    def digest(self, key: str) -> str | None:
        """The SHA-256 in hex of what is stored now, read back from it; None where there is no such object."""
        ...

    def read(self, key: str, start: int = 0) -> Iterator[bytes]:
        """The content from byte ``start`` on, in blocks. Raises ObjectMissing."""
        ...

    def read_bytes(self, key: str, limit: int) -> bytes:
        """A small object's content. Raises ObjectMissing, and StoreError where it has more than ``limit`` bytes."""
        ...

    def write(self, key: str, source: BinaryIO | bytes, sha256: str) -> None:
        """Store an object, whole or not at all, in place of one that is there. Raises ObjectDamaged where the bytes are others."""
        ...

    def create(self, key: str, data: bytes) -> bool:
        """Store an object where there is none yet; False, and nothing changed, where there is. One of several callers wins."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is as good."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectFacts]:
        """Every object below ``prefix``, which is empty or ends with a slash, by key."""
        ...

    def grant(
        self, key: str, method: Method, *, lifetime: timedelta, size: int | None = None, sha256: str | None = None
    ) -> ObjectGrant:
        """Leave for somebody else to read or write one object. Nothing is asked of the store."""
        ...


def checked_blocks(source: BinaryIO | bytes, sha256: str, where: str) -> Iterator[bytes]:
    """The blocks of ``source``. Raises ObjectDamaged after the last one where they are not what ``sha256`` says."""
    digest = hashlib.sha256()
    for block in blocks_of(source):
        digest.update(block)
        yield block
    if digest.hexdigest() != sha256:
        raise ObjectDamaged("the bytes do not match their SHA-256", where=where, hint="send them again")


def blocks_of(source: BinaryIO | bytes) -> Iterator[bytes]:
    """The content in blocks of at most 1 MiB."""
    if isinstance(source, bytes):
        yield from (source[start : start + BLOCK] for start in range(0, len(source), BLOCK))
        return
    while block := source.read(BLOCK):
        yield block


def read_limited(blocks: Iterable[bytes], limit: int, where: str) -> bytes:
    """The blocks joined. Raises StoreError as soon as they have more than ``limit`` bytes."""
    data = bytearray()
    for block in blocks:
        data += block
        if len(data) > limit:
            raise StoreError(f"the object has more than {limit} bytes", where=where)
    return bytes(data)


def checked_prefix(prefix: str) -> str:
    """``prefix`` itself, where it is empty or a key and a slash. Raises ConfigError otherwise."""
    if prefix and checked_key(prefix.removesuffix("/")) == prefix:
        raise ConfigError(f"the prefix {prefix!r} does not end with a slash")
    return prefix


class _Blocks(RawIOBase):
    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = block
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def read_digest(store: Store, key: str) -> str | None:
    """The SHA-256 in hex of an object by reading all of it; None where there is none. For stores that have no other way."""
    digest = hashlib.sha256()
    try:
        for block in store.read(key):
            digest.update(block)
    except ObjectMissing:
        return None
    return digest.hexdigest()


def as_file(blocks: Iterator[bytes]) -> BinaryIO:
    """Blocks as something to read from."""
    return cast(BinaryIO, BufferedReader(_Blocks(blocks), BLOCK))
