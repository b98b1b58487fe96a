"""A draft's shelf: its rows in the database, and its files in the object stores, where a version of it keeps them.

Files lie under the draft's own prefix, as if it were a version: to finish it, none is copied.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from lorafleet.console.domain.records import DraftFile, DraftRecord, VersionRecord
from lorafleet.console.domain.refusals import Conflict
from lorafleet.console.objects.stores import COPIES, Stores
from lorafleet.console.ports import Drafts
from lorafleet.console.uploads.shelves import Change, make_folders, new_entries
from lorafleet.console.uploads.state import Entry, Kind, UploadState, entries_of
from lorafleet.contracts import layout
from lorafleet.contracts.jobs import PublishedObject

SMALL_TEXT_BYTES = 16 << 10
"""Texts up to this lie beside the draft's row: thousands of small captions take no request to a store each."""

_TRIES = 20


class DraftShelf:
    """:class:`lorafleet.console.uploads.shelves.Shelf` of a draft.

    ``folder`` is for this request alone, ``record`` the draft as it was read or changed last.
    """

    def __init__(
        self, folder: Path, record: DraftRecord, team: str, base: VersionRecord | None, drafts: Drafts, stores: Stores
    ) -> None:
        self.folder = folder
        self.record = record
        self._team = team
        self._base = base.by_name if base else {}
        self._base_stores = base.stores if base else ()
        self._drafts = drafts
        self._stores = stores
        make_folders(folder)

    def read(self) -> UploadState:
        """See Shelf."""
        return UploadState(entries_of([dict(each.entry) for each in self.record.files]), dict(self.record.captions))

    def change(self, how: Change, received: Mapping[str, Path] | None = None) -> None:
        """See Shelf.

        Raises:
            NotFound: the draft is over.
            Conflict: others change it again and again.
            StorageError: fewer than two stores took the files.
        """
        for _ in range(_TRIES):
            before = self.read()
            after = how(before)
            if after == before:
                return
            added = self._kept(new_entries(before, after), received or {})
            left = {entry.file for entry in after.entries}
            removed = [entry.file for entry in before.entries if entry.file not in left]
            changed = self._drafts.change(self.record, after.captions, added, removed)
            self.record = self._drafts.get(self._team, self.record.dataset, self.record.id)
            if changed:
                return
        raise Conflict("others are changing this upload", hint="try again")

    def texts(self, state: UploadState) -> Path:
        """See Shelf. Raises StorageError where a store does not answer."""
        folder = self.folder / "texts"
        small = self._drafts.contents(self.record.id)
        for entry in state.entries:
            path = folder / entry.file
            if entry.kind is Kind.IMAGE or path.exists():
                continue
            if entry.file in small:
                path.write_bytes(small[entry.file])
                continue
            item = self._object(entry)
            with path.open("wb") as file:
                for block in self._stores.find(item.key).read(item.key):
                    file.write(block)
        return folder

    def stored(self) -> tuple[PublishedObject, ...]:
        """What lies in the stores already of what the draft holds."""
        return tuple(self._object(entry) for entry, _ in self._in_stores())

    def object(self, file: str) -> PublishedObject | None:
        """A file's object."""
        return next((self._object(entry) for entry, _ in self._in_stores() if entry.file == file), None)

    def gathered(self) -> tuple[str, ...]:
        """Two stores or more that hold all of it; what came at times when other stores answered is copied.

        Raises:
            StorageError: a store does not answer.
        """
        held = [(self._object(entry), stores) for entry, stores in self._in_stores()]
        reachable = self._stores.reachable()
        everywhere = [name for name in reachable if all(name in stores for _, stores in held)]
        if len(everywhere) >= COPIES:
            return tuple(everywhere)
        targets = tuple(dict.fromkeys([*everywhere, *reachable]))[:COPIES]
        for item, stores in held:
            for target in targets:
                if target not in stores:
                    self._stores.mirror([item], next(name for name in (*reachable, *stores) if name in stores), target)
        return targets

    def _in_stores(self) -> Sequence[tuple[Entry, tuple[str, ...]]]:
        entries = self.read().entries
        return [(entry, each.stores) for entry, each in zip(entries, self.record.files, strict=True) if each.stores]

    def _kept(self, entries: Sequence[Entry], received: Mapping[str, Path]) -> list[DraftFile]:
        small = [entry for entry in entries if entry.kind is Kind.WORDS and entry.size <= SMALL_TEXT_BYTES]
        large = [entry for entry in entries if entry not in small]
        stores = self._stores.write([(self._object(entry), received[entry.sha256]) for entry in large]) if large else ()
        return [
            *(DraftFile(entry.file, asdict(entry), (), received[entry.sha256].read_bytes()) for entry in small),
            *(DraftFile(entry.file, asdict(entry), stores) for entry in large),
        ]

    def _object(self, entry: Entry) -> PublishedObject:
        there = self._base.get(entry.file)
        if there is not None and there.sha256 == entry.sha256:
            return there
        key = layout.dataset_object(self.record.dataset, self.record.id, entry.file)
        return PublishedObject(key=key, size=entry.size, sha256=entry.sha256)
