"""How drafts end: as a version, or dropped."""

from sqlalchemy import delete, select, update

from lorafleet.console.domain.refusals import NotFound
from lorafleet.console.store.database import Transaction
from lorafleet.console.store.schema import draft_files, drafts


def finish(transaction: Transaction, dataset: str, draft: str) -> None:
    """End a draft whose objects belong to a version from now on, in the transaction that makes the version known.

    Raises:
        NotFound: it was finished or dropped before; its objects may be removed already.
    """
    whose = (drafts.c.id == draft) & (drafts.c.dataset == dataset) & drafts.c.dropped_at.is_(None)
    if transaction.one(select(drafts.c.id).where(whose).with_for_update()) is None:
        raise gone(dataset, draft)
    remove(transaction, draft)


def drop(transaction: Transaction, draft: str) -> None:
    """End a draft; a loop removes its objects."""
    transaction.execute(update(drafts).where(drafts.c.id == draft).values(dropped_at=transaction.now))


def gone(dataset: str, draft: str) -> NotFound:
    """What is said of a draft that is over, or never was."""
    return NotFound(f"there is no upload {draft} of data set {dataset}")


def remove(transaction: Transaction, draft: str) -> None:
    """Remove its rows."""
    transaction.execute(delete(draft_files).where(draft_files.c.draft == draft))
    transaction.execute(delete(drafts).where(drafts.c.id == draft))
