"""A folder of objects: list, read, write, delete, with checksums and errors that a person understands."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import obstore
from obstore.exceptions import BaseError

from trainer.digests import sha256_of
from trainer.storage.connect import Patience, connect
from trainer.storage.errors import Cause, StoreError, explain
from trainer.storage.locations import Location

# The metadata under which our uploads say what they are. Local file systems cannot hold it.
SHA256 = "sha256"
_BLOCK = 1 << 20
_PART = 5 << 20

Tick = Callable[[int], None]
"""Called with the number of bytes just moved; what it raises ends the transfer."""


@dataclass(frozen=True)
class ObjectFacts:
    """One object: its ``name`` below the location, ``size`` in bytes, and an ``etag`` that changes with its content."""

    name: str
    size: int
    etag: str


def _no_tick(count: int) -> None:
    """Nobody watches."""


class ObjectStore:
    """The objects below one location. Names have ``/`` between their parts; the empty name is the location itself."""

    def __init__(self, location: Location, patience: Patience) -> None:
        self.location = location
        self.patience = patience
        with self._speaking(""):
            self._store = connect(location, patience)

    def list(self, below: str = "") -> list[ObjectFacts]:
        """Every object below the folder ``below``, by name; none where there is no such folder.

        Raises:
            StoreError: the store refused.
        """
        found: list[ObjectFacts] = []
        prefix = self._key(below)
        strip = len(self._key("")) + 1 if self._key("") else 0
        with self._speaking(below):
            for chunk in obstore.list(self._store, prefix or None, chunk_size=1000):
                found.extend(ObjectFacts(meta["path"][strip:], meta["size"], meta["e_tag"] or "") for meta in chunk)
        return sorted(found, key=lambda facts: facts.name)

    def head(self, name: str) -> ObjectFacts | None:
        """The facts of one object, or None where there is none.

        Raises:
            StoreError: the store refused.
        """
        try:
            with self._speaking(name):
                meta = obstore.head(self._store, self._key(name))
        except StoreError as error:
            if error.cause.missing:
                return None
            raise
        return ObjectFacts(name, meta["size"], meta["e_tag"] or "")

    def read(self, name: str) -> bytes:
        """A small object's content.

        Raises:
            StoreError: it is not there, or the store refused.
        """
        with self._speaking(name):
            return bytes(obstore.get(self._store, self._key(name)).bytes())

    def get(self, facts: ObjectFacts, into: Path, parts: Path, tick: Tick = _no_tick) -> str:
        """Bring one object to the file ``into``, which appears whole, and return its SHA-256.

        What a broken transfer leaves in the folder ``parts`` (on the same file system) is gone on from by the next one.

        Raises:
            StoreError: the store or disk refused, or the bytes do not match the checksum that was stored with them.
        """
        binding = f"{self.location}\x1f{facts.name}\x1f{facts.etag or os.getpid()}"
        part = parts / f"{hashlib.sha256(binding.encode()).hexdigest()[:24]}.part"
        with self._speaking(facts.name):
            parts.mkdir(parents=True, exist_ok=True)
            into.parent.mkdir(parents=True, exist_ok=True)
            digest, attributes = self._fill(part, facts, tick)
            size = part.stat().st_size
            if size != facts.size:
                part.unlink()
                raise StoreError(
                    Cause(f"the object ended after {size} of {facts.size} bytes", transient=True), self._url(facts.name)
                )
            if attributes.get(SHA256, digest) != digest:
                part.unlink()
                raise self._damaged(facts.name)
            part.replace(into)
        return digest

    def put(self, name: str, path: Path) -> str:
        """Store a file, in parts where it is large, and return its SHA-256. The object appears whole or not at all.

        Raises:
            StoreError: the store or disk refused.
        """
        with self._speaking(name):
            digest = sha256_of(path)
            attributes = None if self.location.is_local else {SHA256: digest}
            obstore.put(self._store, self._key(name), path, attributes=attributes, chunk_size=_PART, max_concurrency=4)
        return digest

    def verify(self, name: str, sha256: str, tick: Tick = _no_tick) -> None:
        """Read an object back and compare: the one proof that every store gives alike.

        Raises:
            StoreError: what is stored is something else, or the store refused.
        """
        digest = hashlib.sha256()
        with self._speaking(name):
            for block in obstore.get(self._store, self._key(name)).stream(min_chunk_size=_BLOCK):
                digest.update(block)
                tick(len(block))
        if digest.hexdigest() != sha256:
            raise self._damaged(name)

    def delete(self, name: str) -> None:
        """Remove an object; one that is not there is as good.

        Raises:
            StoreError: the store refused.
        """
        try:
            with self._speaking(name):
                obstore.delete(self._store, self._key(name))
        except StoreError as error:
            if not error.cause.missing:
                raise

    def _fill(self, part: Path, facts: ObjectFacts, tick: Tick) -> tuple[str, dict[str, str]]:
        digest = hashlib.sha256()
        with part.open("a+b") as file:
            # At least one byte is always asked for: the answer brings the object's checksum with it.
            start = min(file.seek(0, os.SEEK_END), max(facts.size - 1, 0))
            file.truncate(start)
            file.seek(0)
            while block := file.read(_BLOCK):
                digest.update(block)
            tick(start)
            options: obstore.GetOptions = {}
            if facts.etag:
                options["if_match"] = facts.etag
            if start:
                options["range"] = {"offset": start}
            answer = obstore.get(self._store, self._key(facts.name), options=options)
            for block in answer.stream(min_chunk_size=_BLOCK):
                file.write(block)
                digest.update(block)
                tick(len(block))
            file.flush()
            os.fsync(file.fileno())
        return digest.hexdigest(), dict(answer.attributes)

    def _key(self, name: str) -> str:
        root = str(self.location.local_path.resolve()).lstrip("/") if self.location.is_local else self.location.key
        return "/".join(part for part in (root, name) if part)

    def _url(self, name: str) -> str:
        return str(self.location.child(name)) if name else str(self.location)

    def _damaged(self, name: str) -> StoreError:
        return StoreError(
            Cause("the stored bytes do not match their checksum", "upload it again", transient=True, damaged=True), self._url(name)
        )

    @contextmanager
    def _speaking(self, name: str) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError, ValueError, NotImplementedError) as error:
            raise explain(error, self._url(name)) from None


def open_store(location: Location, patience: Patience | None = None) -> ObjectStore:
    """The objects below a location. Credentials and endpoints come from the environment.

    Raises:
        ConfigError, StoreError: the environment's settings are wrong.
    """
    return ObjectStore(location, patience or Patience())
