"""How many workers each site should run of each release.

A waiting job asks for one worker in one site: near its data first, then where most room is left; which release it asks there for is
the draw's. A job that has waited for :data:`ANYWHERE_AFTER` asks in every site, since the first one did not get a worker up.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from lorafleet.console.domain.placement import Fleet, Queued
from lorafleet.contracts.jobs import DesiredWorkers

ANYWHERE_AFTER = timedelta(seconds=120)

Spot = tuple[str, str]
"""A site and an image's digest."""


@dataclass(frozen=True)
class DemandFacts:
    """``spots``: what is answered, with its target size (None: no limit). ``lacking``: samples that probes are to bring."""

    fleet: Fleet
    waiting: Sequence[Queued]
    now: datetime
    running: Mapping[Spot, int]
    spots: Mapping[Spot, int | None]
    lacking: Mapping[Spot, int]


def desired(facts: DemandFacts) -> list[DesiredWorkers]:
    """By site and release. Never more than the target size; 0 where nothing is to do."""
    wanted: Counter[Spot] = Counter()
    for job in facts.waiting:
        spots = sorted(
            _spots_of(facts.fleet, job), key=lambda spot: (not _near(facts.fleet, spot, job), -_room(facts, wanted, spot), spot)
        )
        if facts.now - job.submitted_at < ANYWHERE_AFTER:
            spots = [spot for spot in spots if _room(facts, wanted, spot) > 0][:1]
        wanted.update(spots)
    answers = []
    for (site, digest), size in sorted(facts.spots.items()):
        spot = (site, digest)
        # The jobs that are drawn for a candidate are samples themselves.
        more = max(wanted[spot], facts.lacking.get(spot, 0))
        workers = facts.running.get(spot, 0) + more
        answers.append(DesiredWorkers(site=site, release=digest, workers=workers if size is None else min(size, workers)))
    return answers


def _spots_of(fleet: Fleet, job: Queued) -> Iterator[Spot]:
    for stable in fleet.stable:
        for digest in (stable.digest, *(each.digest for each in fleet.candidates if each.application == stable.application)):
            place = fleet.place(stable.site, digest)
            if place is not None and fleet.takes(place, job):
                yield stable.site, digest


def _near(fleet: Fleet, spot: Spot, job: Queued) -> bool:
    return fleet.stores.get(spot[0]) in job.data_stores


def _room(facts: DemandFacts, wanted: Counter[Spot], spot: Spot) -> int:
    size = facts.spots.get(spot)
    taken = facts.running.get(spot, 0) + wanted[spot]
    # Without a limit room is what is least used.
    return 1_000_000 - taken if size is None else size - taken
