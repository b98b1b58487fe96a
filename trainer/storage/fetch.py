"""Bringing data and bases from a store to a local folder: only what is not there yet, in parallel, and to be gone on with later."""

import fcntl
import json
import random
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from lorafleet.contracts.problems import NoInputError, StorageError
from lorafleet.whole_files import write_whole
from trainer.digests import sha256_of
from trainer.families.base import Control
from trainer.storage.connect import Patience
from trainer.storage.crew import run_all
from trainer.storage.errors import StoreError, explain
from trainer.storage.locations import Location, check_name
from trainer.storage.store import ObjectFacts, ObjectStore, open_store

_HANDS = 8
_TRIES = 4
_INDEX_SECONDS = 5.0
_SPARE_BYTES = 16 << 20


@dataclass(frozen=True)
class Fetched:
    """What the index remembers of a file: the object it came from, and the file as it was left."""

    size: int
    etag: str
    sha256: str
    modified_ns: int


def fetch(location: Location, into: Path, control: Control, patience: Patience | None = None) -> Path:
    """Bring what is at ``location`` into the folder ``into`` and return the local file or folder; a local location is returned as it is.

    Files that an earlier call brought and that did not change on either side are kept; those whose objects are gone are removed.
    ``INTO.fetch.json`` and ``INTO.parts`` beside the folder hold what is needed for that. Processes that share it take turns.

    Raises:
        NoInputError: there is nothing.
        ConfigError: a name in the store leads out of the folder.
        StorageError: the store or disk refused.
        Preempted, Interrupted: told to stop; the next call goes on.
    """
    if location.is_local:
        return location.local_path
    store = open_store(location, patience)
    objects = files_of(store.list(), str(location))
    if objects:
        result = into
    else:
        single = store.head("") if location.key else None
        if single is None:
            raise NoInputError("there is nothing at this place", where=str(location), hint="check the URL")
        objects, result = {location.name: single}, into / location.name
    with one_at_a_time(into, control):
        Folder(into).bring(store, objects, control)
    return result


def files_of(objects: Sequence[ObjectFacts], where: str) -> dict[str, ObjectFacts]:
    """The objects that are files, by relative path. Markers of folders, which some tools make, are none.

    Raises:
        ConfigError: a name leads out of the folder.
    """
    folders = {"/".join(facts.name.split("/")[:end]) for facts in objects for end in range(1, facts.name.count("/") + 1)}
    files = {facts.name: facts for facts in objects if facts.size or facts.name.rstrip("/") not in {*folders, ""}}
    for name in files:
        check_name(name, where=where)
    return files


class Folder:
    """The local side of a fetch, with its index."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._index_path = root.with_name(f"{root.name}.fetch.json")
        self._parts = root.with_name(f"{root.name}.parts")
        self._index = _read_index(self._index_path)

    def bring(self, store: ObjectStore, objects: Mapping[str, ObjectFacts], control: Control) -> None:
        """Make the folder hold these objects.

        Raises:
            StorageError: the store or disk refused.
            Preempted, Interrupted: told to stop.
        """
        try:
            self._remove_gone(objects)
            missing = {name: facts for name, facts in objects.items() if not self._has(name, facts)}
            self._require_room(sum(facts.size for facts in missing.values()))
            if missing:
                self._transfer(store, missing, control)
            shutil.rmtree(self._parts, ignore_errors=True)
        except OSError as error:
            raise explain(error, str(self.root)) from None

    def _transfer(self, store: ObjectStore, missing: Mapping[str, ObjectFacts], control: Control) -> None:
        moved = Moved(f"fetching {store.location} (MiB)", sum(facts.size for facts in missing.values()), control)

        def work(name: str, go_on: Callable[[], None]) -> tuple[str, Fetched]:
            facts, path = missing[name], self.root / name

            def tick(count: int) -> None:
                go_on()
                moved.add(count)

            digest = _persistently(lambda: store.get(facts, path, self._parts, tick), go_on)
            return name, Fetched(facts.size, facts.etag, digest, path.stat().st_mtime_ns)

        saved = time.monotonic()
        try:
            for name, fetched in run_all(sorted(missing), work, moved.tell, _HANDS):
                self._index[name] = fetched
                if time.monotonic() - saved > _INDEX_SECONDS:
                    self._save_index()
                    saved = time.monotonic()
            moved.tell(at_end=True)
        finally:
            self._save_index()

    def _has(self, name: str, facts: ObjectFacts) -> bool:
        known, path = self._index.get(name), self.root / name
        if known is None or not facts.etag or (known.size, known.etag) != (facts.size, facts.etag):
            return False
        try:
            status = path.stat()
        except OSError:
            return False
        if status.st_size != facts.size:
            return False
        return status.st_mtime_ns == known.modified_ns or sha256_of(path) == known.sha256

    def _remove_gone(self, objects: Mapping[str, ObjectFacts]) -> None:
        for name in [name for name in self._index if name not in objects]:
            (self.root / name).unlink(missing_ok=True)
            del self._index[name]

    def _require_room(self, needed: int) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.root).free
        if needed + _SPARE_BYTES > free:
            raise StorageError(
                f"the disk has {free / 2**20:.0f} MiB free, what is fetched needs {needed / 2**20:.0f} MiB",
                where=str(self.root),
                hint="free some space, or set LORAFLEET_WORK_DIR to a larger disk",
            )

    def _save_index(self) -> None:
        entries = {name: asdict(fetched) for name, fetched in self._index.items()}
        write_whole(self._index_path, json.dumps(entries), durable=False)


class Moved:
    """How much of a transfer is through; counted on the transfer threads, told on the caller's."""

    def __init__(self, what: str, total: int, control: Control) -> None:
        self._what = what
        self._total = total
        self._control = control
        self._bytes = 0
        self._told = -1

    def add(self, count: int) -> None:
        """Bytes that came. The sum may be off by a block when two threads meet, which only the progress bar sees."""
        self._bytes += count

    def tell(self, *, at_end: bool = False) -> None:
        """Report progress where it changed, and raise where the run is told to stop."""
        self._control.check()
        total = -(-self._total >> 20) or 1
        done = total if at_end else min(self._bytes >> 20, total - 1)
        if done != self._told:
            self._told = done
            self._control.progress(self._what, done, total)


def _persistently(transfer: Callable[[], str], go_on: Callable[[], None]) -> str:
    for attempt in range(_TRIES - 1):
        try:
            return transfer()
        except StoreError as error:
            if not error.cause.transient:
                raise
        until = time.monotonic() + random.uniform(0.5, 1.0) * 2**attempt
        while time.monotonic() < until:
            go_on()
            time.sleep(0.1)
    return transfer()


def _read_index(path: Path) -> dict[str, Fetched]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {name: Fetched(**entry) for name, entry in entries.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


@contextmanager
def one_at_a_time(into: Path, control: Control) -> Iterator[None]:
    """Hold ``INTO.lock``: processes of one machine (the ranks of a run) that want the same files wait for the first."""
    try:
        into.parent.mkdir(parents=True, exist_ok=True)
        lock = into.with_name(f"{into.name}.lock").open("w")
    except OSError as error:
        raise explain(error, str(into)) from None
    with lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                control.check()
                time.sleep(0.1)
        yield
