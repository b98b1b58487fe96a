"""The reasons why jobs wait, from what the tables say now."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, func, or_, select

from lorafleet.console.domain.placement import HEARD_LATELY, NEAR_FIRST, Fleet, Place
from lorafleet.console.domain.waiting import WaitingFacts, reason
from lorafleet.console.store import fleet as fleets
from lorafleet.console.store import quotas
from lorafleet.console.store.database import Row, Transaction
from lorafleet.console.store.schema import IS_LIVE, IS_WAITING, Instant, attempts, jobs, workers
from lorafleet.contracts.job_states import JobState
from lorafleet.contracts.jobs import GpuSlot


def of(transaction: Transaction, row: Row) -> str:
    """Why one job waits, with how many are before it; empty for a job that does not."""
    if row["state"] != JobState.WAITING:
        return ""
    return _Reasons(transaction).why(row, before(transaction, row))


def before(transaction: Transaction, row: Row) -> int:
    """How many waiting jobs come before this one in the queue."""
    ahead = or_(jobs.c.priority > row["priority"], (jobs.c.priority == row["priority"]) & (jobs.c.number < row["number"]))
    return transaction.number(select(func.count()).select_from(jobs).where(IS_WAITING, ahead))


def of_many(transaction: Transaction, rows: Sequence[Row]) -> Mapping[str, str]:
    """The same for the waiting ones of several, without counting, which would cost as much as the queue is long."""
    waiting = [row for row in rows if row["state"] == JobState.WAITING]
    if not waiting:
        return {}
    reasons = _Reasons(transaction)
    return {row["id"]: reasons.why(row, None) for row in waiting}


class _Like(NamedTuple):
    """Workers that differ in their names alone, which is most of a fleet."""

    place: Place | None
    site: str
    slots: tuple[GpuSlot, ...]
    total: int
    idle: int


class _Reasons:
    def __init__(self, transaction: Transaction) -> None:
        self._now = transaction.now
        self._fleet: Fleet = fleets.read(transaction)
        self._workers = _alike(transaction, self._fleet)
        self._count = sum(each.total for each in self._workers)
        self._largest = _largest(self._workers)
        self._full = _full_teams(transaction)

    def why(self, row: Row, before: int | None) -> str:
        job = fleets.queued(row)
        fitting = [each for each in self._workers if job.needs.met_by(each.slots)]
        takers = [each for each in fitting if each.place is not None and self._fleet.takes(each.place, job)]
        drawn = {site for each in self._fleet.candidates for site in each.shares if each.takes(job, site)}
        idle_far = any(each.idle and not self._fleet.near_enough(each.site, job, self._now) for each in takers)
        return reason(
            WaitingFacts(
                now=self._now,
                not_before=row["not_before"],
                workers=self._count,
                fitting=sum(each.total for each in fitting),
                needs=_gpus(max(1, job.needs.gpus), job.needs.min_memory_mib),
                largest=self._largest,
                takers=sum(each.total for each in takers),
                candidate_sites=tuple(sorted(drawn)),
                idle=sum(each.idle for each in takers),
                before=before,
                quota=self._full.get(row["team"]),
                near_until=row["submitted_at"] + NEAR_FIRST if idle_far else None,
            )
        )


def _alike(transaction: Transaction, fleet: Fleet) -> list[_Like]:
    busy = {(row["site"], row["worker"]) for row in transaction.all(_BUSY)}
    counts: dict[tuple[str, str, tuple[GpuSlot, ...]], list[int]] = {}
    for row in transaction.all(_HEARD, {"since": transaction.now - HEARD_LATELY}):
        here = counts.setdefault((row["site"], row["digest"], tuple(GpuSlot(**slot) for slot in row["gpus"])), [0, 0])
        here[0] += 1
        here[1] += (row["site"], row["worker"]) not in busy
    return [_Like(fleet.place(site, digest), site, slots, count, idle) for (site, digest, slots), (count, idle) in counts.items()]


_BUSY = select(attempts.c.site, attempts.c.worker).where(IS_LIVE)
_HEARD = select(workers).where(workers.c.heard_at > bindparam("since", type_=Instant))


def _largest(alike: Sequence[_Like]) -> str:
    slots = max((each.slots for each in alike), key=_size, default=())
    return _gpus(*_size(slots))


def _size(slots: Sequence[GpuSlot]) -> tuple[int, int]:
    return len(slots), max((slot.memory_mib for slot in slots), default=0)


def _full_teams(transaction: Transaction) -> Mapping[str, int]:
    limits = quotas.limits(transaction)
    left = quotas.left(transaction, limits)
    return {team: limit for team, limit in limits.items() if left[team] <= 0}


def _gpus(count: int, memory_mib: int) -> str:
    if count == 0:
        return "no GPU"
    return f"{count} GPU{'s' if count > 1 else ''}" + (f" with {memory_mib / 1024:.0f} GiB" if memory_mib else "")
