"""Storing a version: its files into two stores, then its row. A version's id is made of its content, so that it is stored once."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lorafleet.console.domain.naming import new_id
from lorafleet.console.domain.records import Principal, VersionRecord
from lorafleet.console.domain.refusals import NotFound, Unprocessable
from lorafleet.console.failpoints import Failpoint, reach
from lorafleet.console.objects.stores import Stores
from lorafleet.console.ports import Ledger
from lorafleet.console.uploads.intake import Intake
from lorafleet.console.uploads.limits import Limits
from lorafleet.console.uploads.publication import plan_publication
from lorafleet.console.uploads.versions import CONTENTS, CONTENTS_BYTES, METADATA, PreparedVersion, edit_version
from lorafleet.contracts.problems import StorageError
from lorafleet.datasets.tables import read_table


class DatasetVersions:
    """Uploads below ``folder``, which belongs to this console alone, and the versions that are made of them."""

    def __init__(self, folder: Path, ledger: Ledger, stores: Stores, limits: Limits) -> None:
        self._folder = folder
        self._ledger = ledger
        self._stores = stores
        self._limits = limits

    def begin(self, principal: Principal, dataset: str) -> str:
        """Begin an upload that goes on over several requests, and give its id. Raises NotFound."""
        self._ledger.datasets.get(principal.team, dataset)
        upload = new_id("upload", "upload")
        self._intake(self._folder / dataset / upload)
        return upload

    def intake(self, principal: Principal, dataset: str, upload: str) -> Intake:
        """An upload that was begun. Raises NotFound."""
        return self._intake(self._place(principal, dataset, upload))

    def drop(self, principal: Principal, dataset: str, upload: str) -> None:
        """Forget an upload. Raises NotFound."""
        shutil.rmtree(self._place(principal, dataset, upload), ignore_errors=True)

    @contextmanager
    def once(self, principal: Principal, dataset: str) -> Iterator[Intake]:
        """An upload that lives as long as the block. Raises NotFound."""
        upload = self.begin(principal, dataset)
        try:
            yield self.intake(principal, dataset, upload)
        finally:
            self.drop(principal, dataset, upload)

    def store(
        self, principal: Principal, dataset: str, prepared: PreparedVersion, previous: VersionRecord | None = None
    ) -> VersionRecord:
        """Store a version and make it known. What did not change since ``previous`` stays where it is.

        Raises:
            NotFound: there is no such data set.
            Unprocessable: it is of the other kind.
            StorageError: fewer than two stores took it, or the database does not answer.
        """
        found = self._ledger.datasets.get(principal.team, dataset)
        if found.kind != prepared.kind:
            raise Unprocessable(f"the data set holds {found.kind}, and this upload {prepared.kind}", hint="make another data set")
        version = _version_id(prepared)
        plan = plan_publication(dataset, version, prepared, previous.files if previous else ())
        stores = self._stores.write(plan.to_write)
        if previous is not None and len(plan.to_write) < len(plan.objects):
            stores = tuple(name for name in stores if name in previous.stores) or previous.stores
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
        )
        reach(Failpoint.DATASET_COMMITTED)
        return record

    def captions(self, record: VersionRecord) -> dict[str, str]:
        """The captions of a version of images, by file name.

        Raises:
            Unprocessable: the version has none.
        """
        item = record.by_name.get(METADATA)
        if item is None:
            raise Unprocessable("captions are edited in versions of images", where=record.version)
        with tempfile.TemporaryDirectory(dir=self._made(record.dataset), prefix=".captions-") as scratch:
            path = Path(scratch) / METADATA
            self._copy(item.key, path)
            return {row.values["file_name"]: row.values.get("text", "") for row in read_table(path).rows}

    def with_captions(self, principal: Principal, record: VersionRecord, changes: Mapping[str, str]) -> VersionRecord:
        """A new version in which some captions are others. Raises as :meth:`store`."""
        captions = {**self.captions(record), **changes}
        key = record.by_name[CONTENTS].key
        contents = self._stores.find(key).read_bytes(key, CONTENTS_BYTES)
        with tempfile.TemporaryDirectory(dir=self._made(record.dataset), prefix=".edit-") as scratch:
            return self.store(principal, record.dataset, edit_version(contents, captions, Path(scratch)), record)

    def _intake(self, place: Path) -> Intake:
        try:
            return Intake(place, self._limits)
        except OSError as error:
            raise StorageError(f"the upload cannot be kept: {error.strerror}") from None

    def _place(self, principal: Principal, dataset: str, upload: str) -> Path:
        self._ledger.datasets.get(principal.team, dataset)
        place = self._folder / dataset / upload
        if not place.is_dir():
            raise NotFound(f"there is no upload {upload} of this data set")
        return place

    def _made(self, dataset: str) -> Path:
        folder = self._folder / dataset
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StorageError(f"the upload cannot be kept: {error.strerror}") from None
        return folder

    def _copy(self, key: str, path: Path) -> None:
        with path.open("wb") as file:
            for block in self._stores.find(key).read(key):
                file.write(block)


def _version_id(prepared: PreparedVersion) -> str:
    lines = "\n".join(sorted(f"{file.sha256} {file.name}" for file in prepared.files))
    return f"v-{hashlib.sha256(lines.encode()).hexdigest()[:20]}"
