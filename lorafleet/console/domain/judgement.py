"""What the guard makes of the numbers of a candidate.

errorRate is judged in a site from ``min_samples`` on: before that one failure more or less says nothing. A hard fault needs no
statistics and is no matter of this module.

latency is the upper quartile (nearest rank) of the seconds from lease to first heartbeat over the last :data:`WINDOW`, with at least
:data:`LATENCIES` of them. The 95th percentile of the few attempts of a canary is their slowest one, and one node that pulls the image
for the first time would take a good release back; the median would let through a release that hangs in four of ten starts. A lease
still without heartbeat counts with its age, so that one which never starts is seen.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from math import ceil

from lorafleet.contracts.conditions import MEASURED, Condition
from lorafleet.contracts.release import Breach, OutcomeCounts

WINDOW = timedelta(minutes=5)
LATENCIES = 4
_QUARTILE = 0.75


def latency(seconds: Sequence[float]) -> float:
    """The upper quartile of at least one value."""
    return sorted(seconds)[ceil(_QUARTILE * len(seconds)) - 1]


def measure(counts: OutcomeCounts, latencies: Sequence[float], min_samples: int) -> Mapping[str, float]:
    """What can be judged of one site now, by the metric's name."""
    values = {}
    if counts.error_rate is not None and counts.samples >= min_samples:
        values["errorRate"] = counts.error_rate
    # Where a release is judged by fewer samples, so is its latency.
    if len(latencies) >= min(LATENCIES, min_samples):
        values["latency"] = latency(latencies)
    return values


def breaches(conditions: Iterable[Condition], site: str, values: Mapping[str, float], at: datetime) -> list[Breach]:
    """The conditions that a site's values break."""
    return [
        Breach(site=site, at=at, condition=condition, value=values[condition.metric])
        for condition in conditions
        if condition.metric in values and condition.broken_by(values[condition.metric])
    ]


def named(conditions: Iterable[Condition]) -> list[Condition]:
    """The conditions that a query answers, not the console's own counts."""
    return [condition for condition in conditions if condition.metric not in MEASURED]


def in_words(found: Sequence[Breach]) -> str:
    """The first breach as the reason of a rollback."""
    first = found[0]
    if first.condition is None or first.value is None:
        return f"{first.site}: {first.fault}"
    return f"{first.site}: {first.condition} is broken by {first.value:.4g}"
