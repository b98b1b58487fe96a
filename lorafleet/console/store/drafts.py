"""Drafts: uploads that become a version later. Any console goes on with them; their files lie in the object stores."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlalchemy import delete, select, update

from lorafleet.console.domain.naming import new_id
from lorafleet.console.domain.records import DraftFile, DraftRecord
from lorafleet.console.store.database import Database, Row, Transaction
from lorafleet.console.store.datasets import find
from lorafleet.console.store.draft_ends import drop, gone, remove
from lorafleet.console.store.schema import draft_files, drafts


class SqlDrafts:
    """:class:`lorafleet.console.ports.Drafts`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(
        self,
        team: str,
        dataset: str,
        base: str | None = None,
        files: Sequence[DraftFile] = (),
        captions: Mapping[str, str] | None = None,
    ) -> str:
        """Begin one, and give its id. Raises NotFound."""
        draft = new_id("upload", "upload")
        with self._database.write() as transaction:
            find(transaction, team, dataset)
            values = {
                "id": draft, "dataset": dataset, "base": base, "captions": dict(captions or {}), "revision": 0,
                "touched_at": transaction.now,
            }  # fmt: skip
            transaction.add(drafts, values)
            _add(transaction, draft, files)
        return draft

    def get(self, team: str, dataset: str, draft: str) -> DraftRecord:
        """One draft with all its files. Raises NotFound."""
        with self._database.read() as transaction:
            row = _find(transaction, team, dataset, draft)
            columns = (draft_files.c.file, draft_files.c.entry, draft_files.c.stores)
            files = transaction.all(select(*columns).where(draft_files.c.draft == draft).order_by(draft_files.c.file))
        return DraftRecord(
            id=row["id"],
            dataset=row["dataset"],
            base=row["base"],
            files=tuple(DraftFile(each["file"], each["entry"], tuple(each["stores"])) for each in files),
            captions=row["captions"],
            revision=row["revision"],
        )

    def change(self, draft: DraftRecord, captions: Mapping[str, str], add: Sequence[DraftFile], taken_out: Sequence[str]) -> bool:
        """Change a draft that is still as it was read; False where another was faster. Raises NotFound where it is over."""
        with self._database.write() as transaction:
            whose = (drafts.c.id == draft.id) & drafts.c.dropped_at.is_(None)
            values = {"captions": dict(captions), "revision": draft.revision + 1, "touched_at": transaction.now}
            if transaction.execute(update(drafts).where(whose, drafts.c.revision == draft.revision).values(values)).rowcount == 0:
                if transaction.one(select(drafts.c.id).where(whose)) is None:
                    raise gone(draft.dataset, draft.id)
                return False
            without = (draft_files.c.draft == draft.id) & draft_files.c.file.in_(taken_out)
            transaction.execute(delete(draft_files).where(without))
            _add(transaction, draft.id, add)
        return True

    def contents(self, draft: str) -> Mapping[str, bytes]:
        """The small texts of a draft, which lie in no store, by file."""
        statement = select(draft_files.c.file, draft_files.c.content).where(draft_files.c.draft == draft)
        with self._database.read() as transaction:
            found = transaction.all(statement.where(draft_files.c.content.is_not(None)))
        return {row["file"]: bytes(row["content"]) for row in found}

    def drop(self, team: str, dataset: str, draft: str) -> None:
        """End a draft that becomes no version. Raises NotFound."""
        with self._database.write() as transaction:
            _find(transaction, team, dataset, draft)
            drop(transaction, draft)

    def abandon(self, after: timedelta) -> None:
        """Drop drafts that nobody has touched for so long."""
        with self._database.write() as transaction:
            old = drafts.c.dropped_at.is_(None) & (drafts.c.touched_at <= transaction.now - after)
            transaction.execute(update(drafts).where(old).values(dropped_at=transaction.now))

    def dropped(self, ago: timedelta) -> Sequence[tuple[str, str]]:
        """Data set and id of those that were dropped so long ago: nobody writes to them any more."""
        with self._database.read() as transaction:
            found = transaction.all(select(drafts.c.dataset, drafts.c.id).where(drafts.c.dropped_at <= transaction.now - ago))
        return [(row["dataset"], row["id"]) for row in found]

    def forget(self, draft: str) -> None:
        """Remove a dropped draft, whose objects are removed; again is harmless."""
        with self._database.write() as transaction:
            if transaction.one(select(drafts.c.id).where(drafts.c.id == draft, drafts.c.dropped_at.is_not(None))) is not None:
                remove(transaction, draft)


def _find(transaction: Transaction, team: str, dataset: str, draft: str) -> Row:
    find(transaction, team, dataset)
    row = transaction.one(select(drafts).where(drafts.c.id == draft, drafts.c.dataset == dataset, drafts.c.dropped_at.is_(None)))
    if row is None:
        raise gone(dataset, draft)
    return row


def _add(transaction: Transaction, draft: str, files: Sequence[DraftFile]) -> None:
    rows = [
        {"draft": draft, "file": each.file, "entry": dict(each.entry), "stores": list(each.stores), "content": each.content}
        for each in files
    ]
    if rows:
        transaction.add(draft_files, *rows)
