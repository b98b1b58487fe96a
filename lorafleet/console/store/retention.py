"""Removing what nobody looks at any more, a small batch at a time: events and logs of jobs that ended long ago, and old probe jobs.

What tells where weights come from stays: jobs of people, attempts, checkpoints, data set versions, releases and the audit log. A probe
job goes whole, once its release is over; what its attempts counted is kept.
"""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete, func, or_, select, tuple_, update

from lorafleet.console.store import tallies
from lorafleet.console.store.database import Row, Transaction
from lorafleet.console.store.jobs import KEY_LIFETIME
from lorafleet.console.store.schema import IS_REMEMBERED, attempts, checkpoints, events, jobs, keys, logs, release_sites, releases
from lorafleet.contracts.jobs import JobKind
from lorafleet.contracts.release import ReleaseState, Track

JOBS, EVENTS, KEYS = 20, 2_000, 1_000
"""The most of each that one batch removes."""

_OVER = (ReleaseState.STABLE, ReleaseState.RETIRED, ReleaseState.ROLLED_BACK)
_OF_A_LIVE_RELEASE = (
    select(attempts.c.job)
    .join(releases, releases.c.id == attempts.c.release_id)
    .where(attempts.c.job == jobs.c.id, releases.c.state.not_in(_OVER))
    .exists()
)


def forget(transaction: Transaction, keep: timedelta) -> bool:
    """Remove a batch of what ended longer ago than ``keep``; whether there may be more."""
    old = select(keys.c.team, keys.c.key).where(keys.c.at <= transaction.now - KEY_LIFETIME).limit(KEYS)
    more_keys = transaction.execute(delete(keys).where(tuple_(keys.c.team, keys.c.key).in_(old))).rowcount == KEYS
    due = (
        select(jobs.c.id, jobs.c.kind)
        .where(IS_REMEMBERED, jobs.c.ended_at <= transaction.now - keep, or_(jobs.c.kind != JobKind.PROBE, ~_OF_A_LIVE_RELEASE))
        .order_by(jobs.c.ended_at)
        .limit(JOBS)
        # Another console takes the next ones.
        .with_for_update(skip_locked=True)
    )
    rows = transaction.all(due)
    ids = [row["id"] for row in rows]
    batch = select(events.c.number).where(events.c.job.in_(ids)).limit(EVENTS)
    if transaction.execute(delete(events).where(events.c.number.in_(batch))).rowcount == EVENTS:
        return True
    transaction.execute(delete(logs).where(logs.c.job.in_(ids)))
    transaction.execute(update(jobs).where(jobs.c.id.in_(ids)).values(forgotten_at=transaction.now))
    _remove_probes(transaction, _removable(transaction, rows))
    return more_keys or len(rows) == JOBS


def _removable(transaction: Transaction, rows: Sequence[Row]) -> Sequence[str]:
    """The probe jobs among these that no other job continues."""
    probes = [row["id"] for row in rows if row["kind"] == JobKind.PROBE]
    continued = transaction.all(select(jobs.c.continue_from).where(jobs.c.continue_from.in_(probes))) if probes else []
    kept = {row["continue_from"] for row in continued}
    return [job for job in probes if job not in kept]


def _remove_probes(transaction: Transaction, ids: Sequence[str]) -> None:
    if not ids:
        return
    tallies.keep(transaction, attempts.c.job.in_(ids))
    _keep_outcomes(transaction, ids)
    for table, column in ((checkpoints, checkpoints.c.job), (attempts, attempts.c.job), (jobs, jobs.c.id)):
        transaction.execute(delete(table).where(column.in_(ids)))


def _keep_outcomes(transaction: Transaction, ids: Sequence[str]) -> None:
    group = (attempts.c.release_id, attempts.c.site, attempts.c.outcome)
    counted = (
        select(*group, func.count().label("count"))
        .where(attempts.c.job.in_(ids), attempts.c.track == Track.CANDIDATE, attempts.c.outcome.is_not(None))
        .group_by(*group)
    )
    for row in transaction.all(counted):
        whose = (release_sites.c.release_id == row["release_id"]) & (release_sites.c.site == row["site"])
        there = transaction.row(select(release_sites.c.past_outcomes).where(whose).with_for_update())
        past = {**there["past_outcomes"], row["outcome"]: there["past_outcomes"].get(row["outcome"], 0) + row["count"]}
        transaction.execute(update(release_sites).where(whose).values(past_outcomes=past))
