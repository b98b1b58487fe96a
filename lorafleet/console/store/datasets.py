"""Data sets and their versions."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Column, insert, select, update
from sqlalchemy.exc import IntegrityError

from lorafleet.console.domain.naming import new_id
from lorafleet.console.domain.records import DatasetRecord, DraftRecord, Page, VersionRecord
from lorafleet.console.domain.refusals import Conflict, NotFound
from lorafleet.console.store import chain, draft_ends, pages
from lorafleet.console.store.database import Database, Row, Transaction
from lorafleet.console.store.rows import dataset as dataset_record
from lorafleet.console.store.rows import dumped, published
from lorafleet.console.store.rows import version as version_record
from lorafleet.console.store.schema import datasets, versions
from lorafleet.contracts.jobs import PublishedObject
from lorafleet.contracts.layout import file_name


class SqlDatasets:
    """:class:`lorafleet.console.ports.Datasets`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, team: str, name: str, kind: str, actor: str) -> DatasetRecord:
        """Begin a data set. Raises Conflict where the team has one of this name."""
        with self._database.write() as transaction:
            there = transaction.one(select(datasets.c.id).where(datasets.c.team == team, datasets.c.name == name))
            if there is not None:
                raise _name_taken(name, there["id"])
            values: dict[str, Any] = {
                "id": new_id(name, "set"), "team": team, "name": name, "kind": kind, "created_at": transaction.now
            }  # fmt: skip
            try:
                transaction.execute(insert(datasets).values(values))
            except IntegrityError:
                # Another console was a moment faster.
                raise _name_taken(name) from None
            chain.append(transaction, team, actor, "dataset.create", values["id"], {"name": name, "kind": kind})
            return dataset_record({**values, "version": None})

    def get(self, team: str, dataset: str) -> DatasetRecord:
        """One data set. Raises NotFound."""
        with self._database.read() as transaction:
            return dataset_record(find(transaction, team, dataset))

    def page(self, team: str, after: str | None = None, limit: int = 50) -> Page[DatasetRecord]:
        """Newest first."""
        limit, before = pages.size(limit), pages.position(after)
        statement = select(datasets).where(datasets.c.team == team).order_by(datasets.c.number.desc()).limit(limit + 1)
        with self._database.read() as transaction:
            found = transaction.all(statement if before is None else statement.where(datasets.c.number < before))
        return pages.page(found, limit, dataset_record)

    def add_version(
        self, team: str, dataset: str, version: str, files: Sequence[PublishedObject], rows: int, report: Mapping[str, Any],
        stores: Sequence[str], actor: str, draft: DraftRecord | None = None,
    ) -> VersionRecord:  # fmt: skip
        """Make a version known, and the newest. The same again is harmless, wherever its files lie; Conflict where it has others.

        With ``draft`` that one ends in the same transaction. Raises NotFound where it had ended before, Conflict where it has changed.
        """
        with self._database.write() as transaction:
            found = find(transaction, team, dataset)
            if draft is not None:
                draft_ends.unchanged(transaction, dataset, draft)
            wanted = {
                "dataset": dataset, "version": version, "files": dumped(files), "rows": rows, "report": dict(report),
                "stores": list(stores), "created_at": transaction.now, "created_by": actor,
            }  # fmt: skip
            there = transaction.one(select(versions).where(versions.c.dataset == dataset, versions.c.version == version))
            if there is not None:
                if _contents(published(there["files"])) != _contents(files):
                    raise Conflict(
                        f"version {version} of this data set has other files", hint="a version never changes; add another"
                    )
                if draft is not None:
                    draft_ends.drop(transaction, draft.id)
                if found["version"] != version:
                    # Somebody has gone back to what it was.
                    transaction.execute(update(datasets).where(datasets.c.id == dataset).values(version=version))
                    chain.append(transaction, team, actor, "dataset.version", dataset, {"version": version, "rows": there["rows"]})
                return version_record(there)
            if draft is not None:
                draft_ends.remove(transaction, draft.id)
            transaction.execute(insert(versions).values(wanted))
            transaction.execute(update(datasets).where(datasets.c.id == dataset).values(version=version))
            chain.append(transaction, team, actor, "dataset.version", dataset, {"version": version, "rows": rows})
            return version_record(wanted)

    def version(self, team: str, dataset: str, version: str) -> VersionRecord:
        """One version. Raises NotFound."""
        with self._database.read() as transaction:
            return version_record(find_version(transaction, team, dataset, version))

    def versions(self, team: str, dataset: str) -> Sequence[VersionRecord]:
        """Newest first."""
        with self._database.read() as transaction:
            find(transaction, team, dataset)
            found = transaction.all(select(versions).where(versions.c.dataset == dataset).order_by(versions.c.number.desc()))
        return [version_record(row) for row in found]


def find(transaction: Transaction, team: str, dataset: str) -> Row:
    """A team's data set. Raises NotFound."""
    row = transaction.one(select(datasets).where(datasets.c.id == dataset, datasets.c.team == team))
    if row is None:
        raise NotFound(f"there is no data set {dataset}")
    return row


def find_version(
    transaction: Transaction, team: str, dataset: str, version: str, columns: Sequence[Column[Any]] = tuple(versions.c)
) -> Row:
    """A version of a team's data set, or some of its columns. Raises NotFound."""
    find(transaction, team, dataset)
    row = transaction.one(select(*columns).where(versions.c.dataset == dataset, versions.c.version == version))
    if row is None:
        raise NotFound(f"data set {dataset} has no version {version}")
    return row


def _contents(files: Sequence[PublishedObject]) -> set[tuple[str, str]]:
    return {(file_name(item.key), item.sha256) for item in files}


def _name_taken(name: str, dataset: str | None = None) -> Conflict:
    which = f", {dataset}" if dataset else ""
    return Conflict(f"the team has a data set {name!r}{which}", hint="add a version to it, or take another name")
