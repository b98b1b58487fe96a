"""What people's clients say to the console, and what it answers. Workers speak :mod:`lorafleet.contracts.jobs`."""

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from lorafleet.contracts.identifiers import Digest, Id
from lorafleet.contracts.job_states import AttemptState, JobState
from lorafleet.contracts.jobs import JobKind, Order, Phase, PublishedObject, ReportedProblem, Secret
from lorafleet.contracts.outcomes import OutcomeClass
from lorafleet.contracts.release import Track
from lorafleet.contracts.team_secrets import checked_value

Row = TypeVar("Row")

Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$", strip_whitespace=True)]
RoleName = Literal["viewer", "trainer", "releaser", "admin"]
MAX_PRIORITY = 100
MAX_RUNNING = 1_000_000
MAX_CAPTIONS = 10_000
PAGE_LIMIT = 200

NOT_SETTABLE = frozenset(
    {
        "train_data_dir", "metadata_path", "validation_data_dir", "output_dir", "cache_dir", "resume", "prometheus_port", "device",
        "loggers",
    }
)  # fmt: skip
"""Training keys that name a folder, port or device of the machine that trains: the worker decides them.

``base_model``, ``base_config`` and ``chat_template`` are names below the worker's ``--models``.
"""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())


class _Answer(_Part):
    # An older client reads what a newer console answers, and passes over what it does not know.
    model_config = ConfigDict(extra="ignore")


class ProblemLine(_Answer):
    """One thing that is wrong, as :class:`lorafleet.contracts.problems.Problem`."""

    what: str
    where: str = ""
    hint: str = ""


class ProblemDetails(_Answer):
    """Every refusal, as RFC 9457 has it (``application/problem+json``); ``detail`` is one line for people."""

    type: str
    title: str
    status: int
    detail: str
    problems: tuple[ProblemLine, ...] = ()


class PageOf(_Answer, Generic[Row]):
    """A page; the next one is asked for with ``after``, null at the end."""

    rows: tuple[Row, ...]
    after: str | None


class Who(_Answer):
    """Whom the console takes the caller for."""

    subject: str
    team: str
    role: RoleName


class NewDataset(_Part):
    """Make an empty data set; files come as versions."""

    name: Name
    kind: Literal["images", "texts"] = "images"


class DatasetView(_Answer):
    """A data set and its newest version."""

    id: str
    name: str
    kind: str
    created_at: AwareDatetime
    version: str | None


class DatasetFile(_Answer):
    """A file of a version. ``name`` is its path inside the set."""

    name: str
    size: int
    sha256: str


class VersionSummary(_Answer):
    """A version in a list."""

    dataset: str
    version: str
    rows: int
    created_at: AwareDatetime
    created_by: str


class VersionView(VersionSummary):
    """An immutable version with what the checks found in it."""

    files: tuple[DatasetFile, ...]
    report: dict[str, Any]
    stores: tuple[str, ...]


class TakenFile(_Answer):
    """What became of an uploaded file. ``name`` is what the person called it, ``file`` its name in the data set.

    ``guess`` is the encoding that the name was read in, where that was guessed; ``refused`` says why it was left out.
    """

    name: str
    file: str
    kind: str
    size: int
    guess: str | None = None
    refused: str = ""


class UploadedVersion(VersionView):
    """A version that was just uploaded, and which parts of an archive were left out of it."""

    left_out: tuple[TakenFile, ...] = ()


class Draft(_Answer):
    """An upload that goes on over several requests."""

    draft: Id


class Captions(_Answer):
    """Captions by file name."""

    captions: dict[str, str]


class CaptionEdits(_Part):
    """New captions by file name; the answer is a new version."""

    captions: dict[Annotated[str, StringConstraints(min_length=1, max_length=700)], Annotated[str, Field(max_length=4000)]] = Field(
        min_length=1, max_length=MAX_CAPTIONS
    )


class Replacement(_Part):
    """Find and replace in all captions of a version; ``apply`` makes a new version, otherwise it is a preview."""

    find: str = Field(min_length=1, max_length=500)
    replace: str = Field(default="", max_length=500)
    regex: bool = False
    apply: bool = False


class CaptionChange(_Answer):
    """One caption before and after."""

    name: str
    before: str
    after: str


class Replaced(_Answer):
    """What a replacement changes; ``version`` is the new one where it was applied."""

    changes: tuple[CaptionChange, ...]
    version: str | None = None


class NewJob(_Part):
    """Train. ``training`` holds keys of the training configuration; places are the worker's own business and are left out."""

    name: Name
    dataset: Id
    version: Id | None = Field(default=None, description="The newest one if left out.")
    training: dict[str, Any] = Field(max_length=200)
    priority: int = Field(default=0, ge=-MAX_PRIORITY, le=MAX_PRIORITY, strict=True)
    gpus: int = Field(default=0, ge=0, le=16, strict=True)
    min_memory_mib: int = Field(default=0, ge=0, le=1_000_000, strict=True)
    continue_from: Id | None = Field(default=None, description="Go on from a checkpoint of this job.")
    continue_step: int | None = Field(default=None, ge=0, lt=2**63, description="Its newest one if left out.")


class Continuation(_Part):
    """Go on from a job's checkpoint as a new job. ``training`` changes some keys, such as ``epochs``."""

    step: int | None = Field(default=None, ge=0, lt=2**63, description="The newest checkpoint if left out.")
    name: Name | None = None
    training: dict[str, Any] = Field(default_factory=dict, max_length=200)


class ProbeJob(_Part):
    """The job that candidates repeat where people's jobs are few."""

    job: Id


class JobRow(_Answer):
    """A job in a list."""

    id: str
    name: str
    kind: JobKind
    state: JobState
    dataset: str
    priority: int
    submitted_by: str
    submitted_at: AwareDatetime
    step: int
    total_steps: int
    seconds_left: float | None
    loss: float | None
    published_step: int | None
    site: str | None
    ended_at: AwareDatetime | None
    waiting_for: str
    unknown_since: AwareDatetime | None
    cancel_requested: bool


class JobView(JobRow):
    """A job by itself. ``position`` is the number of jobs that would be leased before it while it waits.

    ``forgotten_at``: its events and log were removed then, as the console keeps them for a time after a job's end.
    """

    version: str
    training: dict[str, Any]
    gpus: int
    min_memory_mib: int
    attempts: int
    outputs: tuple[DatasetFile, ...]
    problems: tuple[ReportedProblem, ...]
    position: int | None
    continue_from: str | None
    continue_step: int | None
    forgotten_at: AwareDatetime | None


class AttemptView(_Answer):
    """One lease of a job."""

    fence: int
    site: str
    worker: str
    digest: Digest
    track: Track
    state: AttemptState
    leased_at: AwareDatetime
    deadline: AwareDatetime
    first_heartbeat_at: AwareDatetime | None
    last_heartbeat_at: AwareDatetime | None
    ended_at: AwareDatetime | None
    phase: Phase
    step: int
    start_step: int
    outcome: OutcomeClass | None
    exit_code: int | None
    problems: tuple[ReportedProblem, ...]
    order: Order


class CheckpointView(_Answer):
    """A published checkpoint."""

    fence: int
    step: int
    release: Digest
    objects: tuple[PublishedObject, ...]
    stores: tuple[str, ...]
    published_at: AwareDatetime


class EventView(_Answer):
    """One event of a job. ``number`` is what ``Last-Event-ID`` and ``after`` name."""

    number: int
    job: str
    kind: str
    at: AwareDatetime
    fence: int
    values: dict[str, Any]


class LogView(_Answer):
    """The last lines that an attempt's process wrote; of the newest attempt unless a fence was given."""

    job: str
    lines: tuple[str, ...]


class Offer(_Answer):
    """What a run would cost on a machine type: list prices, never a bill."""

    gpu: str
    cloud: str
    region: str
    machine: str
    hours: float
    on_demand: float
    spot: float | None
    currency: str
    fits: bool


class Estimate(_Answer):
    """What to expect of a job before it is submitted. Memory and hours are rough, a factor of two either way."""

    rows: int
    steps: int
    checkpoints: int
    memory_gib: float | None
    offers: tuple[Offer, ...]
    notes: tuple[str, ...] = ()


class TrainingKey(_Answer):
    """One key of the training configuration, explained."""

    key: str
    group: str
    type: str
    description: str
    default: Any
    required: bool
    settable: bool


class SiteView(_Answer):
    """A site as the console sees it."""

    name: str
    cloud: str
    region: str
    store: str
    heard_at: AwareDatetime | None
    workers: int
    paused: bool


class SiteChange(_Part):
    """Pause a site, so that its workers get no more jobs, or let it go on."""

    paused: bool


class WorkerView(_Answer):
    """A worker that was heard of lately."""

    site: str
    worker: str
    digest: str
    gpus: tuple[dict[str, Any], ...]
    heard_at: AwareDatetime
    job: str | None


class NewToken(_Part):
    """Make a token. Its text is in the answer this once."""

    name: Name
    role: RoleName
    days: float | None = Field(default=90, gt=0, le=3650)


class TokenView(_Answer):
    """A token without its text."""

    id: str
    name: str
    role: RoleName
    created_at: AwareDatetime
    expires_at: AwareDatetime | None
    last_used_at: AwareDatetime | None
    revoked_at: AwareDatetime | None


class TokenMade(TokenView):
    """A new token with its text."""

    token: Secret


class NewSecret(_Part):
    """Keep a secret of the team. Its value is never given back to people, only to the team's training processes."""

    value: Annotated[Secret, AfterValidator(checked_value)]


class SecretView(_Answer):
    """A secret without its value. One that is not ``readable`` was encrypted under a console's secret that is gone: set it anew."""

    name: str
    updated_at: AwareDatetime
    updated_by: str
    readable: bool


class NewQuota(_Part):
    """Limit what a team runs. ``max_running`` null lifts the limit; 0 lets nothing more of it begin."""

    max_running: Annotated[int, Field(ge=0, le=MAX_RUNNING)] | None


class QuotaView(_Answer):
    """How many jobs of a team may run at once; null: as many as there are workers."""

    team: str
    max_running: int | None


class EnrolmentMade(_Answer):
    """A site's new credential, shown this once; the old one ends after a day."""

    site: str
    credential: Secret


class AuditView(_Answer):
    """Who did what."""

    number: int
    at: AwareDatetime
    actor: str
    action: str
    target: str
    values: dict[str, Any]
    digest: str


class AuditVerified(_Answer):
    """How many rows of the chain hold."""

    rows: int
