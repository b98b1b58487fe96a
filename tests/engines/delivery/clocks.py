"""The clocks of a rollback, read from the console's own ledger after it is over.

The first violating sample is the one with which a condition was broken: the attempts are replayed in the order in which the console heard
of them, and judged as its guard judges. So a guard that was late to look, or that judged too mildly, cannot hide it.
"""

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lorafleet.console.domain.judgement import WINDOW, breaches, measure
from lorafleet.contracts.conditions import MEASURED, Condition
from lorafleet.contracts.release import OutcomeCounts
from lorafleet.contracts.release_api import Registration

_MICRO = 1_000_000


@dataclass(frozen=True)
class Lived:
    """One attempt of a candidate: when it was leased, heard of and over, in seconds since the epoch."""

    site: str
    leased: float
    heard: float | None
    ended: float | None
    outcome: str | None

    def heard_by(self, at: float) -> bool:
        """Whether its first heartbeat had come."""
        return self.heard is not None and self.heard <= at

    def silent_at(self, at: float) -> bool:
        """Whether it lived and nothing had been heard of it."""
        return self.leased <= at and not self.heard_by(at) and (self.ended is None or self.ended > at)


@dataclass(frozen=True)
class Clocks:
    """Seconds since the first violating sample; None where there was none, or where it never came to that.

    ``onset`` is before it: the lease of the first attempt that fares badly. ``revoked`` is when the last worker with a lease was told.
    """

    onset: float | None = None
    share_zero: float | None = None
    revoked: float | None = None
    pods_gone: float | None = None


def first_violation(lived: Sequence[Lived], registration: Registration) -> float | None:
    """When the ledger first held what breaks a condition that the console measures itself."""
    conditions = [condition for condition in registration.conditions if condition.metric in MEASURED]
    found = [
        at
        for site in {attempt.site for attempt in lived}
        for at in _moments([attempt for attempt in lived if attempt.site == site], conditions)
        if _broken(site, [attempt for attempt in lived if attempt.site == site], conditions, registration.min_samples, at)
    ]
    return min(found, default=None)


def _moments(lived: Sequence[Lived], conditions: Sequence[Condition]) -> Iterator[float]:
    """When something may change: a heartbeat, an end, and a silent lease that comes of the age of a limit."""
    for attempt in lived:
        yield from (at for at in (attempt.heard, attempt.ended) if at is not None)
        for limit in _limits(conditions):
            just_over = attempt.leased + limit + 1e-6
            if attempt.silent_at(just_over):
                yield just_over


def _broken(site: str, lived: Sequence[Lived], conditions: Sequence[Condition], min_samples: int, at: float) -> bool:
    outcomes = [attempt.outcome for attempt in lived if attempt.outcome and attempt.ended is not None and attempt.ended <= at]
    counts = OutcomeCounts(**{outcome: outcomes.count(outcome) for outcome in set(outcomes)})
    latencies = [
        (at if attempt.silent_at(at) else attempt.heard or at) - attempt.leased
        for attempt in lived
        if at - WINDOW.total_seconds() < attempt.leased <= at and (attempt.heard_by(at) or attempt.silent_at(at))
    ]
    values = measure(counts, latencies, min_samples)
    return bool(breaches(conditions, site, values, datetime.fromtimestamp(at, UTC)))


def _limits(conditions: Sequence[Condition]) -> list[float]:
    return [float(condition.threshold) for condition in conditions if condition.metric == "latency"]


class Record:
    """What the ledger of an embedded console holds of one release. The file may be in use: it is only read."""

    def __init__(self, ledger: Path, release: str) -> None:
        with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            row = database.execute("SELECT state, registration, updated_at FROM releases WHERE id = ?", [release]).fetchone()
            found = database.execute(
                "SELECT site, leased_at, first_heartbeat_at, ended_at, outcome FROM attempts"
                " WHERE release_id = ? AND track = 'candidate' ORDER BY leased_at",
                [release],
            ).fetchall()
        self._registration = Registration.model_validate(json.loads(row["registration"]))
        self._taken_back = row["updated_at"] / _MICRO if row["state"] == "rolled_back" else None
        self._lived = [
            Lived(
                each["site"],
                each["leased_at"] / _MICRO,
                _seconds(each["first_heartbeat_at"]),
                _seconds(each["ended_at"]),
                each["outcome"],
            )
            for each in found
        ]

    def clocks(self, share_zero: float | None, told: float | None, pods_gone: float | None) -> Clocks:
        """``share_zero`` is when it was seen from outside, ``told`` when the last worker was, ``pods_gone`` when the last pod was:
        by the monotonic clock."""
        taken_back, began = self._taken_back, time.time() - time.monotonic()
        violated = first_violation(self._lived, self._registration)
        if taken_back is None or violated is None or violated > taken_back:
            # Taken back without a broken condition, the clocks begin with that.
            violated = taken_back
        if violated is None:
            return Clocks()
        bad = [attempt.leased for attempt in self._lived if self._fares_badly(attempt)]

        def since(at: float | None) -> float | None:
            return None if at is None else at + began - violated

        onset = violated - min(bad) if bad else None
        return Clocks(onset, since(share_zero), since(told), since(pods_gone))

    def _fares_badly(self, attempt: Lived) -> bool:
        waited = (attempt.heard or attempt.ended or time.time()) - attempt.leased
        return attempt.outcome == "release" or any(waited > limit for limit in _limits(self._registration.conditions))


def quantiles(values: Sequence[float]) -> Mapping[str, float]:
    """p50, p95 (nearest rank) and the largest of at least one value."""
    ordered = sorted(values)
    rank = max(0, -(-95 * len(ordered) // 100) - 1)
    return {"p50": ordered[(len(ordered) - 1) // 2], "p95": ordered[rank], "max": ordered[-1]}


def _seconds(micro: int | None) -> float | None:
    return None if micro is None else micro / _MICRO
