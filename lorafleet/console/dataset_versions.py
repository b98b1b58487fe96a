"""Storing a version: its files into two stores, then its row. A version's id is made of its content, so that it is stored once."""

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from lorafleet.console.domain.records import DraftFile, DraftRecord, Principal, VersionRecord
from lorafleet.console.domain.refusals import NotFound, Unprocessable
from lorafleet.console.failpoints import Failpoint, reach
from lorafleet.console.objects.stores import COPIES, Stores
from lorafleet.console.ports import Ledger
from lorafleet.console.uploads.drafts import DraftShelf
from lorafleet.console.uploads.intake import Intake
from lorafleet.console.uploads.limits import Limits
from lorafleet.console.uploads.publication import Publication, plan_publication
from lorafleet.console.uploads.shelves import FolderShelf
from lorafleet.console.uploads.versions import CONTENTS, CONTENTS_BYTES, METADATA, PreparedVersion, all_contents, edit_version
from lorafleet.contracts.jobs import PublishedObject
from lorafleet.contracts.problems import StorageError
from lorafleet.datasets.tables import read_table


@dataclass(frozen=True)
class Stored:
    """Objects that lie in ``stores`` before a version is made of them."""

    objects: tuple[PublishedObject, ...]
    stores: tuple[str, ...]


class DatasetVersions:
    """Uploads and the versions that are made of them. ``folder`` holds what one request needs for its own length."""

    def __init__(self, folder: Path, ledger: Ledger, stores: Stores, limits: Limits) -> None:
        self._folder = folder
        self._ledger = ledger
        self._stores = stores
        self._limits = limits

    def begin(self, principal: Principal, dataset: str, base: VersionRecord | None = None) -> str:
        """Begin an upload that goes on over several requests, and give its id. Raises NotFound.

        With ``base`` it holds that version's files and captions; none is copied.
        """
        if base is None:
            return self._ledger.drafts.begin(principal.team, dataset)
        key = base.by_name[CONTENTS].key
        entries = all_contents(self._stores.find(key).read_bytes(key, CONTENTS_BYTES))
        captions = self.captions(base) if METADATA in base.by_name else {}
        files = [DraftFile(entry.file, asdict(entry), base.stores) for entry in entries]
        return self._ledger.drafts.begin(principal.team, dataset, base.version, files, captions)

    @contextmanager
    def draft(self, principal: Principal, dataset: str, draft: str) -> Iterator[Intake]:
        """A draft that any console began, for the length of a request. Raises NotFound."""
        with self._scratch() as folder:
            yield Intake(self._shelf(principal, dataset, draft, folder), self._limits)

    def draft_object(self, principal: Principal, dataset: str, draft: str, file: str) -> PublishedObject:
        """Where a file of a draft lies. Raises NotFound."""
        with self._scratch() as folder:
            item = self._shelf(principal, dataset, draft, folder).object(file)
        if item is None:
            raise NotFound("there is no such file in this upload")
        return item

    def finish(self, principal: Principal, dataset: str, draft: str) -> VersionRecord:
        """Make a version of a draft, which ends with it. Raises as :meth:`store`."""
        with self._scratch() as folder:
            shelf = self._shelf(principal, dataset, draft, folder)
            prepared = Intake(shelf, self._limits).finish()
            there = Stored(shelf.stored(), shelf.gathered())
            return self.store(principal, dataset, prepared, there, shelf.record)

    def drop(self, principal: Principal, dataset: str, draft: str) -> None:
        """Forget a draft. Raises NotFound."""
        self._ledger.drafts.drop(principal.team, dataset, draft)

    @contextmanager
    def once(self, principal: Principal, dataset: str) -> Iterator[Intake]:
        """An upload that lives as long as the block. Raises NotFound."""
        self._ledger.datasets.get(principal.team, dataset)
        with self._scratch() as folder:
            yield Intake(FolderShelf(folder), self._limits)

    def store(
        self,
        principal: Principal,
        dataset: str,
        prepared: PreparedVersion,
        there: Stored | None = None,
        draft: DraftRecord | None = None,
    ) -> VersionRecord:
        """Store a version and make it known. What is ``there`` already stays where it is; ``draft`` ends with it.

        Raises:
            NotFound: there is no such data set, or the draft is over.
            Conflict: somebody has changed the draft since it was read.
            Unprocessable: it is of the other kind.
            StorageError: fewer than two stores took it, or the database does not answer.
        """
        found = self._ledger.datasets.get(principal.team, dataset)
        if found.kind != prepared.kind:
            raise Unprocessable(f"the data set holds {found.kind}, and this upload {prepared.kind}", hint="make another data set")
        version = _version_id(prepared)
        plan = plan_publication(dataset, version, prepared, there.objects if there else ())
        stores = self._written(plan, there)
        reach(Failpoint.DATASET_STORED)
        record = self._ledger.datasets.add_version(
            principal.team,
            dataset,
            version,
            plan.objects,
            prepared.rows,
            prepared.report,
            stores,
            principal.subject,
            draft,
        )
        reach(Failpoint.DATASET_COMMITTED)
        return record

    def without(self, principal: Principal, record: VersionRecord, file: str) -> VersionRecord:
        """A new version without one file. Raises as :meth:`store`, and UploadRefused where there is no such file."""
        draft = self.begin(principal, record.dataset, record)
        try:
            with self.draft(principal, record.dataset, draft) as intake:
                intake.remove(file)
            return self.finish(principal, record.dataset, draft)
        except BaseException:
            with suppress(NotFound):
                self.drop(principal, record.dataset, draft)
            raise

    def captions(self, record: VersionRecord) -> dict[str, str]:
        """The captions of a version of images, by file name.

        Raises:
            Unprocessable: the version has none.
        """
        item = record.by_name.get(METADATA)
        if item is None:
            raise Unprocessable("captions are edited in versions of images", where=record.version)
        with self._scratch() as scratch:
            path = scratch / METADATA
            self._copy(item.key, path)
            return {row.values["file_name"]: row.values.get("text", "") for row in read_table(path).rows}

    def with_captions(self, principal: Principal, record: VersionRecord, changes: Mapping[str, str]) -> VersionRecord:
        """A new version in which some captions are others. Raises as :meth:`store`."""
        captions = {**self.captions(record), **changes}
        key = record.by_name[CONTENTS].key
        contents = self._stores.find(key).read_bytes(key, CONTENTS_BYTES)
        with self._scratch() as scratch:
            there = Stored(record.files, record.stores)
            return self.store(principal, record.dataset, edit_version(contents, captions, scratch), there)

    def _written(self, plan: Publication, there: Stored | None) -> tuple[str, ...]:
        """The stores that hold all of it, once what is new is written."""
        if there is None or len(plan.to_write) == len(plan.objects):
            return self._stores.write(plan.to_write)
        if not plan.to_write:
            return there.stores
        written = self._stores.write(plan.to_write)
        both = [name for name in written if name in there.stores]
        new = [item for item, _ in plan.to_write]
        for name in self._stores.reachable():
            if len(both) < COPIES and name in there.stores and name not in both:
                self._stores.mirror(new, written[0], name)
                both.append(name)
        return tuple(both)

    def _shelf(self, principal: Principal, dataset: str, draft: str, folder: Path) -> DraftShelf:
        record = self._ledger.drafts.get(principal.team, dataset, draft)
        base = self._ledger.datasets.version(principal.team, dataset, record.base) if record.base else None
        return DraftShelf(folder, record, principal.team, base, self._ledger.drafts, self._stores)

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            scratch = tempfile.TemporaryDirectory(dir=self._folder, prefix="request-")
        except OSError as error:
            raise StorageError(f"the upload cannot be kept: {error.strerror}") from None
        with scratch as folder:
            yield Path(folder)

    def _copy(self, key: str, path: Path) -> None:
        with path.open("wb") as file:
            for block in self._stores.find(key).read(key):
                file.write(block)


def _version_id(prepared: PreparedVersion) -> str:
    lines = "\n".join(sorted(f"{file.sha256} {file.name}" for file in prepared.files))
    return f"v-{hashlib.sha256(lines.encode()).hexdigest()[:20]}"
