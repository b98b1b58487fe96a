"""Which waiting job a worker may have.

The site is drawn first, the track second: a worker of site S that runs a candidate gets the jobs whose draw for this release lies
below the candidate's share of S, a worker of the stable release there gets the others. Nothing is remembered of a draw, since the
same job and release always draw the same. A job that failed by ``release`` on a candidate is the stable one's from then on, until
that candidate is promoted.

Near first: a job that was never leased is for :data:`NEAR_FIRST` after its submission only for sites whose own store holds its data,
as long as a worker of such a site was heard of lately. After that, and for each further attempt, any site may have it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from lorafleet.contracts.jobs import GpuSlot
from lorafleet.contracts.release import ReleaseState, Track
from lorafleet.contracts.shares import NONE, Share, draw

NEAR_FIRST = timedelta(seconds=5)
HEARD_LATELY = timedelta(seconds=60)


@dataclass(frozen=True)
class Needs:
    """What a job asks of a worker: so many GPUs, each with so much memory."""

    gpus: int = 0
    min_memory_mib: int = 0

    def met_by(self, slots: Sequence[GpuSlot]) -> bool:
        """Whether a worker with these GPUs will do."""
        if self.gpus == 0 and self.min_memory_mib == 0:
            return True
        return sum(slot.memory_mib >= self.min_memory_mib for slot in slots) >= max(1, self.gpus)


@dataclass(frozen=True)
class Queued:
    """A waiting job, as far as it matters who gets it."""

    id: str
    needs: Needs
    submitted_at: datetime
    data_stores: Collection[str] = ()
    leased_before: bool = False
    avoid_release: str | None = None


@dataclass(frozen=True)
class Candidate:
    """A release that is under way: ``shares`` by site, of sites that get any."""

    release_id: str
    application: str
    digest: str
    state: ReleaseState
    shares: Mapping[str, Share]

    def takes(self, job: Queued, site: str) -> bool:
        """Whether the job is this release's in this site."""
        if job.avoid_release == self.release_id and self.state is not ReleaseState.PROMOTING:
            return False
        return self.shares.get(site, NONE).takes(draw(job.id, self.release_id))


@dataclass(frozen=True)
class Stable:
    """The stable release of an application in a site."""

    application: str
    site: str
    digest: str
    release_id: str | None = None
    target_size: int | None = None


@dataclass(frozen=True)
class Place:
    """What a worker runs: its track, and the release's id where it has one."""

    site: str
    application: str
    digest: str
    track: Track
    release_id: str | None


@dataclass(frozen=True)
class Fleet:
    """What decides over a lease, at one moment. ``stores``: each site's own; ``alive``: sites with workers heard of lately."""

    stable: tuple[Stable, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    stores: Mapping[str, str] = field(default_factory=dict)
    paused: Collection[str] = ()
    alive: Collection[str] = ()

    def place(self, site: str, digest: str) -> Place | None:
        """What a worker of this image is here; None where it is to get nothing: unknown, taken back, retired or paused."""
        if site in self.paused:
            return None
        for candidate in self.candidates:
            if candidate.digest == digest and site in candidate.shares:
                return Place(site, candidate.application, digest, Track.CANDIDATE, candidate.release_id)
        for stable in self.stable:
            if (stable.site, stable.digest) == (site, digest):
                return Place(site, stable.application, digest, Track.STABLE, stable.release_id)
        return None

    def takes(self, place: Place, job: Queued) -> bool:
        """Whether the draw gives the job to a worker in this place."""
        here = [each for each in self.candidates if each.application == place.application]
        if place.track is Track.CANDIDATE:
            return any(each.release_id == place.release_id and each.takes(job, place.site) for each in here)
        return not any(each.takes(job, place.site) for each in here)

    def near_enough(self, site: str, job: Queued, now: datetime) -> bool:
        """Whether the job need not wait for a site that is nearer to its data."""
        if job.leased_before or now - job.submitted_at >= NEAR_FIRST:
            return True
        near = {name for name, store in self.stores.items() if store in job.data_stores}
        return site in near or not any(name in self.alive and name not in self.paused for name in near)
