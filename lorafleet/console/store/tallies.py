"""Counters and histograms for Prometheus, made of the attempts' rows and of what removed ones have left behind."""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, and_, case, func, select, true, type_coerce
from sqlalchemy.dialects import postgresql, sqlite

from lorafleet.console.domain.records import Series
from lorafleet.console.store.database import Row, Transaction
from lorafleet.console.store.schema import attempts, checkpoints, jobs, past_counts
from lorafleet.contracts import metrics
from lorafleet.contracts.job_states import AttemptState
from lorafleet.contracts.metrics import BUCKET, COUNT, INFINITY, SUM, Metric

Tally = defaultdict[Series, float]

_MICROSECONDS = 1_000_000
_RELEASE = (attempts.c.site, attempts.c.digest)


def total(transaction: Transaction) -> Tally:
    """Over all attempts, those included that are removed by now."""
    found = _of(transaction, true())
    for row in transaction.all(select(past_counts)):
        found[row["series"], tuple(json.loads(row["labels"]))] += row["value"]
    return found


def keep(transaction: Transaction, whose: ColumnElement[bool]) -> None:
    """Keep what these attempts have counted; the caller removes them in the same transaction."""
    rows = [
        {"series": name, "labels": json.dumps(labels), "value": value}
        for (name, labels), value in _of(transaction, whose).items()
        if value
    ]
    if not rows:
        return
    dialect = postgresql if transaction.postgres else sqlite
    statement = dialect.insert(past_counts)
    more = past_counts.c.value + statement.excluded.value
    transaction.execute(statement.on_conflict_do_update(index_elements=["series", "labels"], set_={"value": more}), rows)


def _of(transaction: Transaction, whose: ColumnElement[bool]) -> Tally:
    found: Tally = defaultdict(float)
    group = (*_RELEASE, attempts.c.state, attempts.c.outcome)
    starts = _elapsed(attempts.c.leased_at, attempts.c.first_heartbeat_at)
    statement = (
        select(
            *group,
            func.count().label("attempts"),
            func.sum(attempts.c.heartbeats).label("heartbeats"),
            func.sum(attempts.c.fenced).label("fenced"),
            *_histogram(metrics.FIRST_HEARTBEAT, starts),
        )
        .where(whose)
        .group_by(*group)
    )
    for row in transaction.all(statement):
        release = (row["site"], row["digest"])
        found[metrics.LEASES.name, release] += row["attempts"]
        found[metrics.HEARTBEATS.name, release] += int(row["heartbeats"])
        found[metrics.MESSAGES_FENCED.name, release] += int(row["fenced"])
        if row["state"] == AttemptState.LOST:
            found[metrics.LEASES_EXPIRED.name, release] += row["attempts"]
        if row["outcome"] is not None:
            found[metrics.ATTEMPTS_ENDED.name, (*release, row["outcome"])] += row["attempts"]
        _observed(found, metrics.FIRST_HEARTBEAT, row)
    _checkpoints(transaction, whose, found)
    _waiting(transaction, whose, found)
    return found


def _checkpoints(transaction: Transaction, whose: ColumnElement[bool], found: Tally) -> None:
    same = and_(attempts.c.job == checkpoints.c.job, attempts.c.fence == checkpoints.c.fence)
    statement = (
        select(*_RELEASE, func.count().label("count")).join_from(checkpoints, attempts, same).where(whose).group_by(*_RELEASE)
    )
    for row in transaction.all(statement):
        found[metrics.CHECKPOINTS.name, (row["site"], row["digest"])] += row["count"]


def _waiting(transaction: Transaction, whose: ColumnElement[bool], found: Tally) -> None:
    first = select(attempts.c.job, func.min(attempts.c.fence).label("fence")).where(whose).group_by(attempts.c.job).subquery()
    statement = (
        select(*_RELEASE, *_histogram(metrics.WAITING, _elapsed(jobs.c.submitted_at, attempts.c.leased_at)))
        .join_from(first, attempts, and_(attempts.c.job == first.c.job, attempts.c.fence == first.c.fence))
        .join(jobs, jobs.c.id == attempts.c.job)
        .group_by(*_RELEASE)
    )
    for row in transaction.all(statement):
        _observed(found, metrics.WAITING, row)


def _elapsed(start: Any, end: Any) -> ColumnElement[int]:
    """Microseconds; NULL where it has not ended."""
    return type_coerce(end, BigInteger) - type_coerce(start, BigInteger)


def _histogram(metric: Metric, elapsed: ColumnElement[int]) -> Sequence[ColumnElement[Any]]:
    within = [
        func.sum(case((elapsed <= int(bound * _MICROSECONDS), 1), else_=0)).label(f"bucket_{number}")
        for number, bound in enumerate(metric.buckets)
    ]
    return [func.count(elapsed).label("observed"), func.sum(elapsed).label("elapsed"), *within]


def _observed(found: Tally, metric: Metric, row: Row) -> None:
    labels = (row["site"], row["digest"])
    for number, bound in enumerate(metric.buckets):
        found[metric.name + BUCKET, (*labels, f"{bound:g}")] += int(row[f"bucket_{number}"])
    found[metric.name + BUCKET, (*labels, INFINITY)] += row["observed"]
    found[metric.name + COUNT, labels] += row["observed"]
    found[metric.name + SUM, labels] += float(row["elapsed"] or 0) / _MICROSECONDS
