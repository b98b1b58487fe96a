"""What a pipeline and whoever starts it say to the console about a release, and what the console answers.

A release is registered first, by CI with its own credential. The answer's token is good for this one release and dies with it; the
pipeline gets it as a parameter. Answers of the calls that Orca's webhook stage polls have a ``status`` in Orca's own manner: the stage
ends on ``PASS`` or ``FAIL`` and goes on polling on ``RUNNING``. A 4xx ends a stage at once, and a 5xx is retried without end.
"""

from datetime import timedelta
from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from lorafleet.contracts.conditions import ConditionText
from lorafleet.contracts.durations import Duration
from lorafleet.contracts.identifiers import Digest, Id
from lorafleet.contracts.image import UntaggedImage
from lorafleet.contracts.jobs import Secret
from lorafleet.contracts.release import MIN_SAMPLES, HardFault, Release, SiteRelease


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


class Registration(_Part):
    """CI → console: a release is about to start. ``quorum`` sites must pass; what cannot be reached is left out and named."""

    application: Id
    image: UntaggedImage
    digest: Digest
    sites: tuple[SiteRelease, ...] = Field(min_length=1)
    conditions: tuple[ConditionText, ...] = Field(min_length=1)
    queries: dict[str, str] = Field(default_factory=dict, description="PromQL by the name that conditions use.")
    min_samples: int = Field(default=MIN_SAMPLES, ge=1)
    watch: Duration = timedelta(minutes=5)
    drain: Duration = timedelta(hours=2)
    quorum: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _sites_fit(self) -> "Registration":
        if len({each.site for each in self.sites}) != len(self.sites):
            raise ValueError("sites: a site stands twice")
        if self.quorum > len(self.sites):
            raise ValueError(f"quorum: {self.quorum} of {len(self.sites)} sites cannot pass")
        return self


class Registered(_Part):
    """Console → CI. ``release`` names the release in every address; ``token`` goes into the pipeline's parameters."""

    release: Id
    token: Secret
    expires_at: AwareDatetime


class StageStatus(StrEnum):
    """What a webhook stage reads."""

    RUNNING = "RUNNING"
    PASS = "PASS"  # noqa: S105
    FAIL = "FAIL"


class StageAnswer(BaseModel):
    """Console → Orca. ``detail`` is one line for people, shown as the stage's progress."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, serialize_by_alias=True)

    status: StageStatus
    detail: str = ""
    status_url: str | None = Field(default=None, alias="statusUrl")


class ShareStep(_Part):
    """Pipeline → console: give the release this step of the site's schedule; 0 takes its requests away."""

    step: int = Field(ge=0)


class Watch(_Part):
    """Pipeline → console: watch the release in this site for so long. Enough samples and no breach by then is a pass.

    With too few samples at the end probe jobs may fill up until ``deadline``, counted from the start too; then it is no pass.
    """

    seconds: float = Field(gt=0, le=86_400)
    deadline: float = Field(gt=0, le=172_800)


class FaultReport(_Part):
    """Pipeline → console: the image cannot train here."""

    fault: HardFault
    detail: str = Field(default="", max_length=500)


class Revocation(_Part):
    """Pipeline → console: take the release back."""

    reason: str = Field(default="", max_length=500)


class ReleaseView(_Part):
    """A release as people and machines see it."""

    id: Id
    application: Id
    image: UntaggedImage
    release: Release
    reason: str = ""
    created_at: AwareDatetime
    updated_at: AwareDatetime


MESSAGES: tuple[type[BaseModel], ...] = (
    Registration,
    Registered,
    StageAnswer,
    ShareStep,
    Watch,
    FaultReport,
    Revocation,
    ReleaseView,
)
