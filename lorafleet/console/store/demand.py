"""Reading the facts of :mod:`lorafleet.console.domain.demand`."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from sqlalchemy import or_, select

from lorafleet.console.domain.demand import DemandFacts, Spot, desired
from lorafleet.console.store import fleet, probes, quotas
from lorafleet.console.store.database import Row, Transaction
from lorafleet.console.store.schema import IS_WAITING, jobs, releases
from lorafleet.contracts.jobs import DesiredWorkers
from lorafleet.contracts.release_api import Registration

# More waiting jobs than this fill every target size anyway.
_LOOK_AT = 1_000
# An autoscaler still asks for a release whose workers are being deleted.
_REMEMBERED = timedelta(days=1)


def desired_workers(transaction: Transaction) -> Sequence[DesiredWorkers]:
    """How many workers should run now."""
    facts = fleet.read(transaction)
    running = fleet.running(transaction)
    spots: dict[Spot, int | None] = dict.fromkeys(running)
    lacking: dict[Spot, int] = {}
    recent = or_(releases.c.state.in_(fleet.UNDER_WAY), releases.c.updated_at > transaction.now - _REMEMBERED)
    for row in transaction.all(select(releases).where(recent)):
        for site in Registration.model_validate(row["registration"]).sites:
            spot = (site.site, row["digest"])
            spots[spot] = site.target_size
            if row["state"] in fleet.UNDER_WAY and probes.wanted(transaction):
                lacking[spot] = max(0, probes.lacking(transaction, row["id"], site.site))
    for stable in facts.stable:
        spots[stable.site, stable.digest] = stable.target_size
    waiting = [fleet.queued(row) for row in _may_run(transaction)]
    return desired(DemandFacts(facts, waiting, transaction.now, running, spots, lacking))


def _may_run(transaction: Transaction) -> Iterator[Row]:
    """The waiting jobs that their teams' quotas let run now: a worker for any other one would have nothing to do."""
    left = quotas.left(transaction, quotas.limits(transaction))
    full = [team for team, room in left.items() if room <= 0]
    queue = select(jobs).where(IS_WAITING, jobs.c.team.not_in(full)).order_by(jobs.c.priority.desc(), jobs.c.number)
    for row in transaction.all(queue.limit(_LOOK_AT)):
        if left.get(row["team"], 1) > 0:
            yield row
        if row["team"] in left:
            left[row["team"]] -= 1
