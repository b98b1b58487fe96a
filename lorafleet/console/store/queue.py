"""Taking jobs out of the queue: by priority, then by age, for the workers that ask."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, or_, select

from lorafleet.console.domain import resume
from lorafleet.console.domain.placement import Fleet, Place
from lorafleet.console.domain.records import EventKind
from lorafleet.console.domain.requests import PLACES
from lorafleet.console.store import quotas as limits
from lorafleet.console.store.database import Row, Transaction
from lorafleet.console.store.fleet import queued
from lorafleet.console.store.rows import published
from lorafleet.console.store.schema import IS_WAITING, attempts, checkpoints, jobs, quotas, releases
from lorafleet.contracts.job_states import AttemptState, JobState
from lorafleet.contracts.jobs import DatasetVersion, Job, LeaseRequest, Order, Phase, ResumePoint
from lorafleet.contracts.release import ReleaseState
from lorafleet.contracts.training import TrainingConfig

_PAGE = 32
# A worker that nothing suits out of so many of the first jobs asks again later; nobody looks through 100,000 rows in a lock.
_LOOK_AT = 2_000


class Taken(NamedTuple):
    """A lease as the dispatcher gives it out."""

    job: Job
    fence: int
    deadline: datetime


def pick(transaction: Transaction, fleet: Fleet, requests: Sequence[LeaseRequest], places: Sequence[Place]) -> dict[int, Row]:
    """The first job that suits each request, by the request's index. Their rows are locked."""
    picked: dict[int, Row] = {}
    room = _Room(transaction)
    for row in _in_order(transaction, requests, room.full):
        job = queued(row)
        if not room.has(row):
            continue
        for index, (request, place) in enumerate(zip(requests, places, strict=True)):
            if (
                index not in picked
                and job.needs.met_by(request.gpus)
                and fleet.takes(place, job)
                and fleet.near_enough(request.site, job, transaction.now)
            ):
                picked[index] = row
                room.take(row)
                break
        if len(picked) == len(requests):
            break
    return room.within_quotas(picked)


class Granted(NamedTuple):
    """A lease and what is to be written of it."""

    taken: Taken
    place: Place
    job: dict[str, Any]
    attempt: dict[str, Any]


FENCES_OF_A_HOME = 1_000_000
"""No job is leased so often under one epoch of its home."""


def grant(
    transaction: Transaction, row: Row, request: LeaseRequest, place: Place, lifetime: timedelta, lost_stores: Sequence[str]
) -> Granted:
    """Give a waiting job, whose row is locked, to a worker under a new fence; :func:`write` makes it so."""
    point = resume_point(transaction, row, lost_stores)
    start = point.step if point is not None else 0
    # What the old home gave out last may not have reached the standby: a new home never gives out the same fence.
    deadline, fence = transaction.now + lifetime, max(row["fence"], (transaction.epoch - 1) * FENCES_OF_A_HOME) + 1
    transaction.event(
        row,
        EventKind.LEASED,
        fence,
        site=request.site,
        worker=request.worker,
        release=request.release,
        track=place.track,
        step=start,
    )
    job = Job(
        id=row["id"],
        kind=row["kind"],
        dataset=DatasetVersion(dataset=row["dataset"], version=row["version"]),
        training=TrainingConfig.model_validate({**PLACES, **row["training"]}),
        gpus=max(1, row["gpus"]),
        resume=point,
    )
    change = {
        "id": row["id"], "state": JobState.RUNNING, "fence": fence, "attempts": row["attempts"] + 1, "site": request.site, "step": start,
        "unknown_since": None, "seconds_left": None,
    }  # fmt: skip
    attempt = {
        "job": row["id"], "fence": fence, "site": request.site, "worker": request.worker, "digest": request.release,
        "release_id": place.release_id, "track": place.track, "state": AttemptState.LEASED, "leased_at": transaction.now,
        "deadline": deadline, "phase": Phase.PREPARING, "step": start, "start_step": start, "ordered": Order.CONTINUE,
    }  # fmt: skip
    return Granted(Taken(job, fence, deadline), place, change, attempt)


def write(transaction: Transaction, granted: Sequence[Granted]) -> None:
    """Write the leases of one transaction together."""
    if granted:
        transaction.change_each(jobs, "id", [each.job for each in granted])
        transaction.add(attempts, *(each.attempt for each in granted))


class _Written(NamedTuple):
    fence: int
    step: int
    release_id: str | None
    stores: tuple[str, ...]
    row: Row


def resume_point(transaction: Transaction, row: Row, lost_stores: Sequence[str] = ()) -> ResumePoint | None:
    """Where a job goes on: from its own newest valid checkpoint, else from the job's that it continues."""
    found = _newest(transaction, row["id"], None, lost_stores) if row["published_step"] is not None else None
    if found is None and row["continue_from"] is not None:
        found = _newest(transaction, row["continue_from"], row["continue_step"], lost_stores)
    if found is None:
        return None
    return ResumePoint(fence=found.fence, step=found.step, release=found.row["digest"], objects=published(found.row["objects"]))


def published_step(transaction: Transaction, job: str) -> int | None:
    """The newest valid checkpoint's step."""
    found = _newest(transaction, job, None, ())
    return None if found is None else found.step


def _newest(transaction: Transaction, job: str, up_to: int | None, lost_stores: Sequence[str]) -> _Written | None:
    statement = (
        select(checkpoints, releases.c.state.label("release_state"))
        .join_from(checkpoints, releases, releases.c.id == checkpoints.c.release_id, isouter=True)
        .where(checkpoints.c.job == job)
    )
    rows = transaction.all(statement if up_to is None else statement.where(checkpoints.c.step <= up_to))
    failed = {row["release_id"] for row in rows if row["release_state"] == ReleaseState.ROLLED_BACK}
    written = [_Written(row["fence"], row["step"], row["release_id"], tuple(row["stores"]), row) for row in rows]
    return resume.newest(written, failed, lost_stores)


_COLUMNS = [
    jobs.c[name]
    for name in (
        "number", "id", "team", "kind", "dataset", "version", "data_stores", "training", "priority", "submitted_at", "gpus",
        "min_memory_mib", "continue_from", "continue_step", "fence", "attempts", "avoid_release", "published_step",
    )
]  # fmt: skip
_IN_ORDER = (
    select(*_COLUMNS, quotas.c.max_running)
    .join_from(jobs, quotas, quotas.c.team == jobs.c.team, isouter=True)
    .where(IS_WAITING, jobs.c.not_before <= bindparam("now"))
    .where(jobs.c.gpus <= bindparam("most_gpus"), jobs.c.min_memory_mib <= bindparam("most_memory"))
    .order_by(jobs.c.priority.desc(), jobs.c.number)
    .limit(bindparam("size"))
    .with_for_update(of=jobs, skip_locked=True)
)
_AFTER = or_(
    jobs.c.priority < bindparam("last_priority"),
    and_(jobs.c.priority == bindparam("last_priority"), jobs.c.number > bindparam("last_number")),
)
# What a team without room has waiting may be more than is looked at.
_NEXT_IN_ORDER = _IN_ORDER.where(_AFTER, jobs.c.team.not_in(bindparam("full", expanding=True)))


def _in_order(transaction: Transaction, requests: Sequence[LeaseRequest], full: Callable[[], Sequence[str]]) -> Iterator[Row]:
    size, seen = max(_PAGE, len(requests)), 0
    values: dict[str, Any] = {
        "now": transaction.now,
        "most_gpus": max(len(request.gpus) for request in requests),
        "most_memory": max((slot.memory_mib for request in requests for slot in request.gpus), default=0),
    }
    rows = transaction.all(_IN_ORDER, {**values, "size": size})
    while rows:
        yield from rows
        seen += len(rows)
        if len(rows) < size or seen >= _LOOK_AT:
            return
        size *= 4
        values |= {"last_priority": rows[-1]["priority"], "last_number": rows[-1]["number"], "size": size, "full": full()}
        rows = transaction.all(_NEXT_IN_ORDER, values)


class _Room:
    """What each team's quota leaves, for the moment of one transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._left: dict[str, int] = {}

    def has(self, row: Row) -> bool:
        if row["max_running"] is None:
            return True
        if row["team"] not in self._left:
            self._left |= limits.left(self._transaction, {row["team"]: row["max_running"]})
        return self._left[row["team"]] > 0

    def full(self) -> Sequence[str]:
        """The teams that have no room left."""
        unknown = {team: limit for team, limit in limits.limits(self._transaction).items() if team not in self._left}
        self._left |= limits.left(self._transaction, unknown)
        return sorted(team for team, left in self._left.items() if left <= 0)

    def take(self, row: Row) -> None:
        if row["max_running"] is not None:
            self._left[row["team"]] -= 1

    def within_quotas(self, picked: dict[int, Row]) -> dict[int, Row]:
        """What still fits once no other console can lease for these teams."""
        limited = {row["team"]: row["max_running"] for row in picked.values() if row["max_running"] is not None}
        if not limited or not self._transaction.postgres:
            return picked
        self._transaction.all(select(quotas.c.team).where(quotas.c.team.in_(limited)).order_by(quotas.c.team).with_for_update())
        left = limits.left(self._transaction, limited)
        kept = {}
        for index, row in picked.items():
            if row["team"] in left:
                left[row["team"]] -= 1
                if left[row["team"]] < 0:
                    continue
            kept[index] = row
        return kept
