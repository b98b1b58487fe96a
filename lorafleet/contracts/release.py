"""Releases of the trainer: their states, what is counted while they are watched, and the verdict over them."""

from collections.abc import Mapping
from enum import StrEnum
from functools import reduce
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from lorafleet.contracts.conditions import ConditionText
from lorafleet.contracts.identifiers import Digest, Id
from lorafleet.contracts.image import digest12
from lorafleet.contracts.outcomes import OutcomeClass
from lorafleet.contracts.shares import NONE, Percentage, Share, Strategy, schedule

Count = Annotated[int, Field(ge=0)]
# With 20 samples the rule "more than 5 %" takes back a release that fails 1 % of its jobs in 1.7 % of cases (binomial), with 10
# samples in 9.6 %.
MIN_SAMPLES = 20


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Track(StrEnum):
    """Which of the two a job can fall to."""

    STABLE = "stable"
    CANDIDATE = "candidate"


class ReleaseState(StrEnum):
    """Where a release stands. ``preparing``: preflight and smoke Jobs; ``retired``: another became the stable one."""

    PREPARING = "preparing"
    WATCHING = "watching"
    PROMOTING = "promoting"
    STABLE = "stable"
    ROLLED_BACK = "rolled_back"
    RETIRED = "retired"


# The stable release is never rolled back: to return to an older image is a release of its own.
RELEASE_TRANSITIONS: Mapping[ReleaseState, frozenset[ReleaseState]] = {
    ReleaseState.PREPARING: frozenset({ReleaseState.WATCHING, ReleaseState.ROLLED_BACK}),
    ReleaseState.WATCHING: frozenset({ReleaseState.PROMOTING, ReleaseState.ROLLED_BACK}),
    ReleaseState.PROMOTING: frozenset({ReleaseState.STABLE, ReleaseState.ROLLED_BACK}),
    ReleaseState.STABLE: frozenset({ReleaseState.RETIRED}),
    ReleaseState.ROLLED_BACK: frozenset(),
    ReleaseState.RETIRED: frozenset(),
}

_WITHOUT_REQUESTS = frozenset({ReleaseState.PREPARING, ReleaseState.ROLLED_BACK, ReleaseState.RETIRED})


class OutcomeCounts(_Part):
    """How many attempts of a release have ended in which way."""

    succeeded: Count = 0
    release: Count = 0
    user: Count = 0
    infrastructure: Count = 0
    cancelled: Count = 0
    preempted: Count = 0

    def after(self, outcome: OutcomeClass) -> "OutcomeCounts":
        """The counts with one more ended attempt."""
        return self.model_copy(update={outcome.value: getattr(self, outcome.value) + 1})

    def __add__(self, other: "OutcomeCounts") -> "OutcomeCounts":
        return OutcomeCounts(**{name: getattr(self, name) + getattr(other, name) for name in OutcomeCounts.model_fields})

    @property
    def samples(self) -> int:
        """Attempts that say something about the release: it trained to the end, or it failed by itself.

        A wrong data set, a lost node, a cancel or a preemption says nothing of it, and must not thin out its failures.
        """
        return self.succeeded + self.release

    @property
    def error_rate(self) -> float | None:
        """The share of :attr:`samples` that failed by the release; None without samples."""
        return self.release / self.samples if self.samples else None


def total(counts: Mapping[str, OutcomeCounts]) -> OutcomeCounts:
    """The counts of all sites together."""
    return reduce(OutcomeCounts.__add__, counts.values(), OutcomeCounts())


class Decision(StrEnum):
    """``inconclusive``: too few samples until the deadline, hence not promoted."""

    WAITING = "waiting"
    PASSED = "passed"
    BREACH = "breach"
    INCONCLUSIVE = "inconclusive"


class HardFault(StrEnum):
    """What is a breach without statistics: the image cannot train at all."""

    CUDA_INIT = "cuda_init"
    SMOKE_JOB = "smoke_job"


class Breach(_Part):
    """What was broken, where and when. A condition comes with the value that broke it, a hard fault stands alone."""

    site: Id
    at: AwareDatetime
    condition: ConditionText | None = None
    value: float | None = None
    fault: HardFault | None = None

    @model_validator(mode="after")
    def _one_reason(self) -> "Breach":
        if (self.condition is None) == (self.fault is None):
            raise ValueError("a breach is of a condition or a hard fault")
        if (self.condition is None) != (self.value is None):
            raise ValueError("a broken condition has the value that broke it, a hard fault has none")
        if self.condition is not None and self.value is not None and not self.condition.broken_by(self.value):
            raise ValueError(f"{self.value} does not break '{self.condition}'")
        return self


class Verdict(_Part):
    """What the guard says of a candidate in all sites; a breach in one takes it back in every one."""

    decision: Decision = Decision.WAITING
    counts: dict[Id, OutcomeCounts] = Field(default_factory=dict, description="By site; a site that is not reached has none.")
    min_samples: int = Field(default=MIN_SAMPLES, ge=1, description="What each site with counts needs before it can pass.")
    breaches: tuple[Breach, ...] = ()
    evaluated_at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _breaches_decide(self) -> "Verdict":
        if (self.decision is Decision.BREACH) != bool(self.breaches):
            raise ValueError("a verdict is 'breach' exactly where it names one")
        if self.decision is Decision.PASSED:
            if not self.counts:
                raise ValueError("no site has samples; too few is not a pass")
            for site, lacking in self.lacking.items():
                raise ValueError(f"{site} lacks {lacking} of {self.min_samples} samples; too few is not a pass")
        return self

    @property
    def lacking(self) -> dict[str, int]:
        """How many samples each site still needs, which probe jobs can bring; sites that have enough are left out."""
        return {
            site: self.min_samples - counts.samples for site, counts in self.counts.items() if counts.samples < self.min_samples
        }


class SiteRelease(_Part):
    """A release in one site: its immutable Deployment, and how far its share has grown.

    ``step`` counts the shares of :attr:`schedule` that were given; 0 means that it gets no requests yet.
    """

    site: Id
    strategy: Strategy
    target_size: int = Field(ge=1)
    first_share: Percentage
    step: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _step_exists(self) -> "SiteRelease":
        if self.step > len(self.schedule):
            raise ValueError(f"{self.site}: the schedule has {len(self.schedule)} steps, not {self.step}")
        return self

    @property
    def schedule(self) -> tuple[Share, ...]:
        """The shares that it gets one after the other."""
        return schedule(self.strategy, self.first_share)


class Release(_Part):
    """One image on its way through the fleet."""

    digest: Digest
    state: ReleaseState = ReleaseState.PREPARING
    sites: tuple[SiteRelease, ...] = Field(min_length=1)
    verdict: Verdict = Verdict()

    @model_validator(mode="after")
    def _fits_together(self) -> "Release":
        names = [site.site for site in self.sites]
        if len(set(names)) != len(names):
            raise ValueError("a site stands twice")
        failed = self.verdict.decision in (Decision.BREACH, Decision.INCONCLUSIVE)
        if failed and self.state in (ReleaseState.PROMOTING, ReleaseState.STABLE):
            raise ValueError("a release with a breach or too few samples is not promoted")
        return self

    @property
    def digest12(self) -> str:
        """The first twelve digits of the digest, which name things in Kubernetes."""
        return digest12(self.digest)

    @property
    def workload(self) -> str:
        """The name of its Deployment in every site."""
        return f"trainer-{self.digest12}"

    @property
    def track(self) -> Track | None:
        """Which track it is, or None once it is over."""
        if self.state is ReleaseState.STABLE:
            return Track.STABLE
        return None if self.state in (ReleaseState.ROLLED_BACK, ReleaseState.RETIRED) else Track.CANDIDATE

    def share(self, site: str) -> Share:
        """Its share of a site's requests now. A breach makes it 0 everywhere at once, whatever the state says yet.

        Raises:
            KeyError: the release does not go to this site.
        """
        here = {release.site: release for release in self.sites}[site]
        if self.state in _WITHOUT_REQUESTS or self.verdict.decision is Decision.BREACH or here.step == 0:
            return NONE
        return here.schedule[here.step - 1]
