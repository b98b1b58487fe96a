"""The faults that a release is tried with, and how each must end: written down before it is run."""

from dataclasses import dataclass
from enum import StrEnum

from lorafleet.contracts.release import ReleaseState

EU, US = "aws-eu-central-1", "gcp-us-west1"


class Kind(StrEnum):
    """What is broken."""

    NOTHING = "nothing"
    SMOKE_CRASH = "pods crash at CUDA init"
    ERROR_RATE = "attempts fail by the release"
    LATENCY = "the first heartbeat comes late"
    NO_SAMPLES = "no attempt ends"
    SITE_API_GONE = "a site's Kubernetes API hangs"
    PROMETHEUS_GONE = "nothing answers at Prometheus' address, and a condition names a query"
    CONSOLE_GONE = "the console refuses for 20 s while the release is watched"
    IMAGE_MISSING = "a registry does not hold the digest"
    APPROVAL_REFUSED = "a person answers stop"
    ORCA_KILLED = "Orca is killed and started again while the release is watched"
    CANCELLED = "an operator cancels the pipeline while the release is watched"


class Workers(StrEnum):
    """Whose workers stand at the end."""

    OLD = "the old ones only"
    NEW = "the new ones only"


@dataclass(frozen=True)
class Expected:
    """The end state: of the pipeline *release*, of the release in the console, of the workers by site, and whether *rollback* ran.

    ``reasons``: one of them is part of what the console says of a release that was taken back.
    """

    pipeline: str
    state: ReleaseState
    workers: dict[str, Workers]
    rollback: str | None = None
    reasons: tuple[str, ...] = ("",)


@dataclass(frozen=True)
class Fault:
    """One row of the table. ``level`` is a rate or seconds; ``site`` is where it is broken, by default in the first site."""

    name: str
    kind: Kind
    expected: Expected
    site: str = EU
    level: float = 0.0
    seconds: float = 900

    @property
    def alone(self) -> bool:
        """Whether it breaks what other trials need too."""
        return self.kind in (Kind.SITE_API_GONE, Kind.CONSOLE_GONE, Kind.ORCA_KILLED)


_OLD = {EU: Workers.OLD, US: Workers.OLD}
_NEW = {EU: Workers.NEW, US: Workers.NEW}


def _taken_back(*reasons: str) -> Expected:
    return Expected("TERMINAL", ReleaseState.ROLLED_BACK, _OLD, rollback="SUCCEEDED", reasons=reasons)


# A site that was not reached keeps what it has; the quorum of one site lets the other go on.
_ONE_SITE = Expected("SUCCEEDED", ReleaseState.STABLE, {EU: Workers.NEW, US: Workers.OLD})

FAULTS = (
    Fault("no fault", Kind.NOTHING, Expected("SUCCEEDED", ReleaseState.STABLE, _NEW)),
    Fault("crash at CUDA init", Kind.SMOKE_CRASH, _taken_back("smoke_job")),
    Fault("error rate 6 %", Kind.ERROR_RATE, _taken_back("errorRate > 5%"), level=0.06),
    Fault("error rate 30 %", Kind.ERROR_RATE, _taken_back("errorRate > 5%"), level=0.3),
    Fault("error rate 100 %", Kind.ERROR_RATE, _taken_back("errorRate > 5%"), site=US, level=1.0),
    Fault("latency 3 s", Kind.LATENCY, _taken_back("latency > 2s"), level=3.0),
    # The watch's deadline: probes are waited for at least ten minutes.
    Fault("no samples", Kind.NO_SAMPLES, _taken_back("did not pass")),
    # Nobody could judge the condition that names a query: that is no pass either.
    Fault("Prometheus gone", Kind.PROMETHEUS_GONE, _taken_back("did not pass")),
    Fault("one site's API gone", Kind.SITE_API_GONE, _ONE_SITE, site=US),
    Fault("image missing in one registry", Kind.IMAGE_MISSING, _ONE_SITE, site=US),
    # The release pipeline cannot revoke meanwhile and removes nothing; the rollback pipeline asks again.
    # Orca's next poll comes within 15 s: early, the release's own call still finds nobody there; late, the console is back for it.
    Fault("console gone for 20 s", Kind.CONSOLE_GONE, _taken_back("the rollback pipeline", "the candidate did not pass")),
    Fault("approval refused", Kind.APPROVAL_REFUSED, _taken_back("not promoted")),
    Fault("Orca killed and restarted", Kind.ORCA_KILLED, Expected("SUCCEEDED", ReleaseState.STABLE, _NEW)),
    Fault(
        "operator cancels",
        Kind.CANCELLED,
        Expected("CANCELED", ReleaseState.ROLLED_BACK, _OLD, rollback="SUCCEEDED", reasons=("the rollback pipeline",)),
    ),
)
