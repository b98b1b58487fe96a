"""A folder as an object store. Links are never followed: one that somebody put there leads nowhere.

What is being written lies in ``.incoming`` until it is whole, verified and on the disk; it gets its name by a rename.
"""

import hashlib
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from pydantic import SecretStr

from lorafleet.console.objects.errors import ObjectDamaged, ObjectMissing, StoreError, StoreUnreachable, of_disk
from lorafleet.console.objects.store import BLOCK, ObjectFacts, blocks_of, checked_prefix, read_digest, read_limited
from lorafleet.contracts.jobs import Method, ObjectGrant
from lorafleet.contracts.layout import checked_key
from lorafleet.contracts.problems import ConfigError

INCOMING = ".incoming"

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LEFT_OVER_SECONDS = 24 * 3600


class FolderStore:
    """The objects are the files below ``root``, which is made where it is not there.

    Its grants are ``file:///`` URLs for workers of the same machine and user; elsewhere a folder is served, see :mod:`.folder_server`.

    Raises:
        StoreError: the folder cannot be made.
    """

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self.root = root.absolute()
        try:
            (self.root / INCOMING).mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise of_disk(error, str(root)) from None
        self._remove_left_overs()

    def probe(self) -> None:
        """See Store."""
        os.close(self._open_root())

    def head(self, key: str) -> ObjectFacts | None:
        """See Store."""
        try:
            with self.open(key) as (_, size):
                return ObjectFacts(key, size)
        except ObjectMissing:
            return None

    def digest(self, key: str) -> str | None:
        """See Store."""
        return read_digest(self, key)

    def read(self, key: str, start: int = 0) -> Iterator[bytes]:
        """See Store."""
        with self.open(key) as (file, size):
            yield from self._span(file, start, max(size - start, 0), key)

    def read_bytes(self, key: str, limit: int) -> bytes:
        """See Store."""
        return read_limited(self.read(key), limit, self._where(key))

    def write(self, key: str, source: BinaryIO | bytes, sha256: str) -> None:
        """See Store."""
        with self.incoming(key) as part:
            for block in blocks_of(source):
                part.write(block)
            part.publish(sha256)

    def create(self, key: str, data: bytes) -> bool:
        """See Store."""
        with self.incoming(key) as part:
            part.write(data)
            return part.publish(hashlib.sha256(data).hexdigest(), only_if_absent=True)

    def delete(self, key: str) -> None:
        """See Store."""
        with suppress(ObjectMissing), self._parent(key) as (folder, name):
            os.unlink(name, dir_fd=folder)
            os.fsync(folder)

    def list(self, prefix: str) -> Iterator[ObjectFacts]:
        """See Store."""
        yield from sorted(self._walk(checked_prefix(prefix)), key=lambda facts: facts.key)

    def grant(
        self, key: str, method: Method, *, lifetime: timedelta, size: int | None = None, sha256: str | None = None
    ) -> ObjectGrant:
        """See Store. Whoever writes by it makes the file whole beside it and renames it."""
        url = (self.root / self._checked(key)).as_uri()
        return ObjectGrant(key=key, method=method, store=self.name, url=SecretStr(url), expires_at=datetime.now(UTC) + lifetime)

    @contextmanager
    def open(self, key: str) -> Iterator[tuple[BinaryIO, int]]:
        """An object's file and its size in bytes.

        Raises:
            ObjectMissing: there is none.
        """
        with self._parent(key) as (folder, name):
            # Not blocking, so that a named pipe in the folder cannot hold up the console.
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                os.close(descriptor)
                raise ObjectMissing("there is no such object", where=self._where(key))
            with os.fdopen(descriptor, "rb") as file:
                yield file, facts.st_size

    @contextmanager
    def incoming(self, key: str) -> Iterator["Incoming"]:
        """A new object in the making. What is not published when the block ends leaves no trace."""
        self._checked(key)
        path = self.root / INCOMING / secrets.token_hex(16)
        try:
            file = path.open("xb")
        except FileNotFoundError:
            raise self._gone() from None
        except OSError as error:
            raise of_disk(error, self._where(key)) from None
        with self._speaking(key), file:
            try:
                yield Incoming(self, key, path, file)
            finally:
                path.unlink(missing_ok=True)

    def settle(self, key: str, path: Path, only_if_absent: bool) -> bool:
        """Give a finished file its name."""
        try:
            with self._parent(key, make=True) as (folder, name):
                if only_if_absent:
                    try:
                        os.link(path, name, dst_dir_fd=folder, follow_symlinks=False)
                    except FileExistsError:
                        return False
                else:
                    os.rename(path, name, dst_dir_fd=folder)
                os.fsync(folder)
        except ObjectMissing:
            raise StoreError("a link, a folder or another object is in the way", where=self._where(key)) from None
        return True

    def _span(self, file: BinaryIO, start: int, count: int, key: str) -> Iterator[bytes]:
        with self._speaking(key):
            file.seek(start)
            while count:
                block = file.read(min(BLOCK, count))
                if not block:
                    raise StoreError("the object became shorter while it was read", where=self._where(key))
                count -= len(block)
                yield block

    @contextmanager
    def _parent(self, key: str, make: bool = False) -> Iterator[tuple[int, str]]:
        *folders, name = self._checked(key).split("/")
        descriptor = self._open_root()
        try:
            with self._speaking(key):
                for part in folders:
                    if make:
                        with suppress(FileExistsError):
                            os.mkdir(part, dir_fd=descriptor)
                            os.fsync(descriptor)
                    inner = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=descriptor)
                    os.close(descriptor)
                    descriptor = inner
                yield descriptor, name
        finally:
            os.close(descriptor)

    def _open_root(self) -> int:
        try:
            return os.open(self.root, _FOLDER)
        except OSError:
            raise self._gone() from None

    def _gone(self) -> StoreUnreachable:
        return StoreUnreachable("the folder is not there", where=self.name, hint="check the disk or the mount")

    def _walk(self, prefix: str) -> Iterator[ObjectFacts]:
        os.close(self._open_root())
        top = self.root / prefix
        if prefix:
            try:
                with self._parent(f"{prefix}x"):
                    pass
            except ObjectMissing:
                return
        for folder, folders, files in os.walk(top, onerror=self._refuse_to_skip, followlinks=False):
            if Path(folder) == self.root:
                folders.remove(INCOMING)
            for name in files:
                path = Path(folder) / name
                try:
                    facts = path.lstat()
                except FileNotFoundError:
                    continue
                if stat.S_ISREG(facts.st_mode):
                    yield ObjectFacts(path.relative_to(self.root).as_posix(), facts.st_size)

    def _refuse_to_skip(self, error: OSError) -> None:
        # By default what cannot be listed is left out in silence. A folder that was deleted meanwhile is none.
        if not isinstance(error, FileNotFoundError):
            raise of_disk(error, self.name) from None

    def _checked(self, key: str) -> str:
        if checked_key(key).split("/", 1)[0] == INCOMING:
            raise ConfigError(f"the key {key!r} is the store's own", where=self.name)
        return key

    def _where(self, key: str) -> str:
        return f"{self.name}/{key}"

    @contextmanager
    def _speaking(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise of_disk(error, self._where(key)) from None

    def _remove_left_overs(self) -> None:
        for path in (self.root / INCOMING).iterdir():
            with suppress(FileNotFoundError):
                if path.lstat().st_mtime < time.time() - _LEFT_OVER_SECONDS:
                    path.unlink()


class Incoming:
    """An object in the making: ``size`` bytes so far."""

    def __init__(self, store: FolderStore, key: str, path: Path, file: BinaryIO) -> None:
        self._store = store
        self._key = key
        self._path = path
        self._file = file
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, block: bytes) -> None:
        """Add a block."""
        self._file.write(block)
        self._digest.update(block)
        self.size += len(block)

    def publish(self, sha256: str | None, only_if_absent: bool = False) -> bool:
        """Make the object visible; False where ``only_if_absent`` is asked for and there is one.

        Raises:
            ObjectDamaged: the bytes are not what ``sha256`` says.
        """
        if sha256 is not None and self._digest.hexdigest() != sha256:
            raise ObjectDamaged(
                "the bytes do not match their SHA-256", where=f"{self._store.name}/{self._key}", hint="send them again"
            )
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._store.settle(self._key, self._path, only_if_absent)
