"""What an upload holds so far, in a file of its folder: uploads outlive requests, and several may add to one at once."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any

from lorafleet.contracts.problems import StorageError
from lorafleet.whole_files import write_whole


class Kind(StrEnum):
    """``words``: a text file, which belongs to an image or is a text set. ``table``: CSV, JSONL or JSON."""

    IMAGE = "image"
    WORDS = "words"
    TABLE = "table"


@dataclass(frozen=True)
class Entry:
    """A stored file: ``file`` is its own name, ``label`` what the person called it.

    ``guess`` is the encoding its name was read in, where that was guessed. The last three are an image's.
    """

    file: str
    label: str
    kind: Kind
    size: int
    sha256: str
    guess: str | None = None
    width: int = 0
    height: int = 0
    dhash: int = 0


@dataclass(frozen=True)
class UploadState:
    """``captions`` are those that were set by hand, by file."""

    entries: tuple[Entry, ...] = ()
    captions: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.entries)

    @property
    def images(self) -> tuple[Entry, ...]:
        """The images, by label."""
        return tuple(sorted((entry for entry in self.entries if entry.kind is Kind.IMAGE), key=lambda entry: entry.label))

    def with_entries(self, more: tuple[Entry, ...]) -> "UploadState":
        """With more files."""
        return replace(self, entries=(*self.entries, *more))

    def without(self, file: str) -> "UploadState":
        """Without a file, its caption, and the text files that belong to no other image than it."""
        gone = next(entry for entry in self.entries if entry.file == file)
        stem = _stem(gone)
        kept = [entry for entry in self.entries if entry.file != file]
        if gone.kind is Kind.IMAGE and not any(entry.kind is Kind.IMAGE and _stem(entry) == stem for entry in kept):
            kept = [entry for entry in kept if entry.kind is not Kind.WORDS or _stem(entry) != stem]
        captions = {name: text for name, text in self.captions.items() if name != file}
        return replace(self, entries=tuple(kept), captions=captions)


def _stem(entry: Entry) -> str:
    return str(PurePosixPath(entry.label).with_suffix(""))


def entries_as_data(entries: tuple[Entry, ...]) -> list[dict[str, Any]]:
    """Entries as plain data."""
    return [asdict(entry) for entry in entries]


def entries_of(data: list[dict[str, Any]]) -> tuple[Entry, ...]:
    """The inverse of :func:`entries_as_data`. Raises TypeError, ValueError or KeyError where it is none."""
    return tuple(Entry(**{**item, "kind": Kind(item["kind"])}) for item in data)


class StateFile:
    """The file that holds it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "state.json"
        self._lock = folder / "lock"

    def read(self) -> UploadState:
        """What it holds; nothing where there is no file yet."""
        try:
            data = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return UploadState()
        return UploadState(entries_of(data["entries"]), data["captions"])

    @contextmanager
    def locked(self) -> Iterator[UploadState]:
        """What it holds, while no other thread or process may change it.

        Raises:
            StorageError: the disk refused.
        """
        try:
            with self._lock.open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield self.read()
        except OSError as error:
            raise StorageError(f"the upload cannot be kept: {error.strerror}") from None

    def write(self, state: UploadState) -> None:
        """Replace it, whole. Only while it is locked."""
        data = {"entries": entries_as_data(state.entries), "captions": state.captions}
        write_whole(self._path, json.dumps(data))
