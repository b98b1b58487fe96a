"""The fence: the one place where a worker's message is held against its job's newest lease."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from lorafleet.console.domain.refusals import Fenced
from lorafleet.console.store.database import Row, Transaction
from lorafleet.console.store.schema import IS_RUNNING, jobs

NEWEST = and_(jobs.c.fence == bindparam("key_fence"), IS_RUNNING)
"""True of a job that runs under this fence and no newer one."""

_COLUMNS = tuple(jobs.c[name] for name in ("id", "team", "kind", "fence", "failures", "cancel_requested", "published_step"))


def guarded(condition: ColumnElement[bool]) -> ReturningUpdate[Any]:
    """The update that every message begins with."""
    return update(jobs).where(jobs.c.id == bindparam("key_id"), condition).returning(*_COLUMNS)


TOUCH = guarded(NEWEST)


def touch(transaction: Transaction, job: str, fence: int, values: Mapping[str, Any] | None = None) -> Row:
    """Change a job's row in the name of a lease, and give it back; what else the message brings is written after it.

    The row stays locked until the commit, so that no newer lease begins in between.

    Raises:
        Fenced: a newer lease holds the job, or this one has ended. Nothing was written.
    """
    # Whoever changes nothing writes the fence again: that locks the row, and judges it in the same statement.
    row = transaction.one(TOUCH, {"key_id": job, "key_fence": fence, **(values or {"fence": fence})})
    if row is None:
        raise refused(job, fence)
    return row


def holds(transaction: Transaction, job: str, fence: int) -> bool:
    """Whether the lease holds the job at this moment."""
    return transaction.one(select(jobs.c.id).where(jobs.c.id == job, NEWEST), {"key_fence": fence}) is not None


def refused(job: str, fence: int) -> Fenced:
    """What the sender of a stale message is told."""
    return Fenced(
        f"lease {fence} of job {job} does not hold any more",
        hint="stop the attempt and write nothing more; another may run by now",
        job=job,
        fence=fence,
    )
