"""How drafts end: as a version, or dropped."""

from sqlalchemy import delete, select, update

from lorafleet.console.domain.records import DraftRecord
from lorafleet.console.domain.refusals import Conflict, NotFound
from lorafleet.console.store.database import Transaction
from lorafleet.console.store.schema import draft_files, drafts


def unchanged(transaction: Transaction, dataset: str, draft: DraftRecord) -> None:
    """See to it that a draft is as it was read, and stays so until the transaction ends.

    Raises:
        NotFound: it was finished or dropped before; its objects may be removed already.
        Conflict: somebody has changed it since: what they added is in no version that was made of it.
    """
    whose = (drafts.c.id == draft.id) & (drafts.c.dataset == dataset) & drafts.c.dropped_at.is_(None)
    found = transaction.one(select(drafts.c.revision).where(whose).with_for_update())
    if found is None:
        raise gone(dataset, draft.id)
    if found["revision"] != draft.revision:
        raise Conflict("the upload was changed while it was being finished", hint="look at it and finish it again")


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
