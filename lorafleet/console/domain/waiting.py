"""Why a job waits, in one English sentence."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class WaitingFacts:
    """What is known of a waiting job's chances. ``gpus`` and ``memory_mib``: the most that any live worker has.

    ``sites``: sites with a worker that could take it. ``before``: jobs ahead of it, None where nobody counted. ``candidate_sites``:
    where it belongs to a candidate; it belongs to the stable release in all others. ``quota``: the team's limit where it is reached.
    """

    now: datetime
    not_before: datetime
    workers: int
    fitting: int
    needs: str
    largest: str
    takers: int
    candidate_sites: tuple[str, ...] = ()
    idle: int = 0
    before: int | None = None
    quota: int | None = None
    near_until: datetime | None = None


def reason(facts: WaitingFacts) -> str:
    """The first thing that stands in the job's way."""
    if facts.not_before > facts.now:
        return f"It failed before and is tried again in {_seconds(facts.not_before - facts.now)} s."
    if facts.quota is not None:
        return f"The team's quota of {facts.quota} running jobs is used up."
    if facts.workers == 0:
        return "No worker is there in any site."
    if facts.fitting == 0:
        return f"No worker has what it needs ({facts.needs}); the largest has {facts.largest}."
    if facts.takers == 0:
        if facts.candidate_sites:
            return f"It is drawn for the new release in {', '.join(facts.candidate_sites)}, which has no worker there yet."
        return "No worker runs the stable release."
    if facts.before:
        return f"{facts.before} {'job is' if facts.before == 1 else 'jobs are'} before it."
    if facts.near_until is not None and facts.near_until > facts.now:
        return "It waits a moment for a site that has its data."
    if facts.idle == 0:
        return "All workers are busy."
    return "It is next: a worker takes it in a moment."


def _seconds(length: timedelta) -> int:
    return max(1, round(length.total_seconds()))
