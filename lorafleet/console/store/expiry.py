"""Leases that nobody speaks for any more: *unknown* at their deadline, lost after a grace."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import and_, select, update

from lorafleet.console.domain import endings as rules
from lorafleet.console.domain.records import AttemptRecord, EventKind
from lorafleet.console.store import endings, rows
from lorafleet.console.store.database import Row, Transaction
from lorafleet.console.store.schema import IS_LIVE, attempts, jobs
from lorafleet.contracts.job_states import AttemptState
from lorafleet.contracts.jobs import JobKind
from lorafleet.contracts.outcomes import OutcomeClass

_AT_ONCE = 500
# Consoles look each second.
_BREAK = timedelta(seconds=5)


class Hearing:
    """Since when this console hears workers without a break. Whoever was deaf says of nobody that he was not heard of."""

    def __init__(self) -> None:
        self._last: datetime | None = None
        self._since: datetime | None = None

    def seconds(self, now: datetime) -> float:
        """Note a look at ``now``, the database's time, and say for how long there was one at least every few seconds."""
        if self._last is None or self._since is None or now - self._last > _BREAK:
            self._since = now
        self._last = now
        return (now - self._since).total_seconds()


def due(transaction: Transaction) -> bool:
    """Whether any deadline is past."""
    statement = select(attempts.c.job).where(IS_LIVE, attempts.c.deadline <= transaction.now).limit(1)
    return transaction.one(statement) is not None


def expire(transaction: Transaction, grace: timedelta, lose: bool = True) -> Sequence[AttemptRecord]:
    """Go through the attempts whose deadline is past, the oldest first. Without ``lose`` they become unknown at most."""
    late = (
        select(attempts.c.job).where(IS_LIVE, attempts.c.deadline <= transaction.now).order_by(attempts.c.deadline).limit(_AT_ONCE)
    )
    names = [row["job"] for row in transaction.all(late)]
    # A job that another console or a message holds at this moment is looked at next time.
    locked = transaction.all(select(jobs).where(jobs.c.id.in_(names)).with_for_update(skip_locked=True))
    changed = []
    for row in locked:
        live = and_(attempts.c.job == row["id"], attempts.c.fence == row["fence"], IS_LIVE)
        attempt = transaction.one(select(attempts).where(live, attempts.c.deadline <= transaction.now))
        if attempt is None:
            continue
        if lose and attempt["deadline"] + grace <= transaction.now:
            changed.append(_lose(transaction, row, attempt, _unheard(attempt)))
        elif row["unknown_since"] is None:
            since = attempt["last_heartbeat_at"] or attempt["leased_at"]
            transaction.execute(update(jobs).where(jobs.c.id == row["id"]).values(unknown_since=since))
            changed.append(rows.attempt(attempt))
    return changed


def not_begun(transaction: Transaction, site: str, worker: str) -> Sequence[Row]:
    """Live leases of a worker that has sent no heartbeat for them. If it asks for a job it does not know of them."""
    whose = (attempts.c.site == site) & (attempts.c.worker == worker) & attempts.c.first_heartbeat_at.is_(None)
    return transaction.all(select(attempts).where(IS_LIVE, whose))


def lose_not_begun(transaction: Transaction, leases: Sequence[Row]) -> None:
    """Let the jobs of such leases wait again, at once and not only at their deadline."""
    for lease in leases:
        row = transaction.one(select(jobs).where(jobs.c.id == lease["job"], jobs.c.fence == lease["fence"]).with_for_update())
        whose = (attempts.c.job == lease["job"]) & (attempts.c.fence == lease["fence"])
        still = transaction.one(select(attempts).where(IS_LIVE, whose, attempts.c.first_heartbeat_at.is_(None)))
        if row is not None and still is not None:
            _lose(
                transaction,
                row,
                still,
                f"worker {still['worker']} in {still['site']} asked for a job and did not know of this lease",
            )


def _unheard(attempt: Row) -> str:
    since = attempt["last_heartbeat_at"] or attempt["leased_at"]
    return f"worker {attempt['worker']} in {attempt['site']} was not heard of since {since:%Y-%m-%d %H:%M:%S} UTC"


def _lose(transaction: Transaction, row: Row, attempt: Row, what: str) -> AttemptRecord:
    lost = {"outcome": OutcomeClass.INFRASTRUCTURE}
    problems = [{"what": what, "where": "", "hint": "it goes on elsewhere from the last published step"}]
    endings.end_attempt(transaction, row, AttemptState.LOST, EventKind.LOST, problems=problems, **lost)
    after = rules.after(OutcomeClass.INFRASTRUCTURE, row["failures"], JobKind(row["kind"]), row["cancel_requested"])
    endings.settle(transaction, row, after, problems)
    return rows.attempt({**attempt, **lost, "state": AttemptState.LOST, "ended_at": transaction.now, "problems": problems})
