"""The protocol between workers and the console: every message as a model. Workers speak first, always over HTTPS.

A worker exchanges its site's enrolment credential for an attempt token, asks for a lease, and sends the lease's fence with
everything that follows. The console refuses a message whose fence is not the job's newest. :data:`MESSAGES` lists the messages.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    StringConstraints,
    model_validator,
)

from lorafleet.contracts import layout
from lorafleet.contracts.identifiers import Digest, Id
from lorafleet.contracts.outcomes import OutcomeClass
from lorafleet.contracts.team_secrets import MAX_SECRETS, SecretName
from lorafleet.contracts.training import TrainingConfig

PROTOCOL: Literal[1] = 1

MESSAGE_BYTES = 64 * 1024
"""The most bytes of JSON that the console reads of one message."""

MAX_GPUS = 16
MAX_GRANTS = 64
MAX_OBJECTS = 32
MAX_FILES = 200
MAX_PROBLEMS = 10
MAX_METRICS = 64
LOG_TAIL = 8 * 1024
LOG_BYTES = 24 * 1024

_LOOPBACK = ("http://127.0.0.1:", "http://localhost:", "http://[::1]:")


def _safe_url(url: SecretStr) -> SecretStr:
    if not url.get_secret_value().startswith(("https://", "file:///", *_LOOPBACK)):
        raise ValueError("a grant's URL is https://, file:/// or http:// on loopback")
    return url


# Hidden in every repr and log line, written out only as JSON for the wire.
Secret = Annotated[
    SecretStr,
    Field(min_length=1, max_length=4096),
    PlainSerializer(lambda secret: secret.get_secret_value(), return_type=str, when_used="json"),
]
GrantUrl = Annotated[Secret, AfterValidator(_safe_url)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
Fence = Annotated[int, Field(ge=1, lt=2**63)]
Step = Annotated[int, Field(ge=0, lt=2**63)]
MetricName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class _Part(BaseModel):
    # A refused message may hold a token or a presigned URL, and its error is logged.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


class Message(_Part):
    """What every message has: the protocol's version. A console answers another version with an error, never with a guess."""

    protocol: Literal[1] = PROTOCOL


class AttemptMessage(Message):
    """What every message of an attempt has: its job, and the fence of its lease."""

    job: Id
    fence: Fence


class GpuSlot(_Part):
    """One GPU of a worker, as its driver names it."""

    name: str = Field(min_length=1, max_length=128)
    memory_mib: int = Field(gt=0)


class PublishedObject(_Part):
    """An object that is in the store, verified."""

    key: Key
    size: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Enrolment(Message):
    """Worker → console: the site's credential for a token of one attempt."""

    site: Id
    worker: Id
    credential: Secret


class AttemptToken(Message):
    """Console → worker: the bearer token for one lease request and the attempt it leads to."""

    token: Secret
    expires_at: AwareDatetime


class LeaseRequest(Message):
    """Worker → console: a long poll for a job. ``release`` is the image's digest; a worker without a GPU names none."""

    site: Id
    worker: Id
    release: Digest
    gpus: tuple[GpuSlot, ...] = Field(max_length=MAX_GPUS)
    wait_seconds: int = Field(default=30, ge=0, le=60)


class JobKind(StrEnum):
    """``probe`` is a tiny real training that gives a candidate release its samples."""

    USER = "user"
    PROBE = "probe"


class DatasetVersion(_Part):
    """An immutable data set version."""

    dataset: Id
    version: Id


class ResumePoint(_Part):
    """The published checkpoint that an attempt goes on from; ``release`` wrote it."""

    fence: Fence
    step: Step
    release: Digest
    objects: tuple[PublishedObject, ...] = Field(min_length=1, max_length=MAX_OBJECTS)


class Job(_Part):
    """What is to be trained. The worker puts its own folders into ``training``'s places, and fetches the data set.

    It asks which files that is with :class:`DatasetRequest`, and for grants to read them with :class:`GrantRequest`.
    """

    id: Id
    kind: JobKind = JobKind.USER
    dataset: DatasetVersion
    training: TrainingConfig
    gpus: int = Field(
        default=1,
        ge=1,
        le=MAX_GPUS,
        description="How many of the worker's GPUs train it, as ranks of one run; ``batch_size`` is a rank's.",
    )
    resume: ResumePoint | None = None


class Method(StrEnum):
    """What a grant allows."""

    GET = "GET"
    PUT = "PUT"


class ObjectGrant(_Part):
    """Leave to read or write one object in one store, without holding a cloud's keys.

    A PUT carries the headers that are given here. A folder's server holds the writer to size and SHA-256 of what it announced; a
    cloud's signed URL cannot, so the console reads those objects back before they count as published.
    """

    key: Key
    method: Method
    store: Id
    url: GrantUrl
    headers: dict[str, str] = Field(default_factory=dict, max_length=16)
    expires_at: AwareDatetime


class GrantedObject(_Part):
    """What a grant is asked for. To write, size and SHA-256 are said beforehand."""

    key: Key
    size: int | None = Field(default=None, ge=0)
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")


class GrantRequest(AttemptMessage):
    """Worker → console: grants for more objects, in every store that can be reached.

    To read, the answer names the stores that hold the object, the worker's own site first. To write, it names the worker's own
    site's store first and at least one more, so that what is written can be published.
    """

    method: Method
    objects: tuple[GrantedObject, ...] = Field(min_length=1, max_length=MAX_OBJECTS)


class Grants(AttemptMessage):
    """Console → worker."""

    grants: tuple[ObjectGrant, ...] = Field(max_length=MAX_GRANTS)


class DatasetRequest(AttemptMessage):
    """Worker → console: the files of the job's data set version, from the first key after ``after`` on."""

    after: Key | None = None


class DatasetFiles(AttemptMessage):
    """Console → worker: files in the order of their keys. Where there are ``more``, the worker asks again after the last one."""

    files: tuple[PublishedObject, ...] = Field(max_length=MAX_FILES)
    more: bool = False


class SecretsRequest(AttemptMessage):
    """Worker → console: the secrets of the job's team, for the training process of this attempt alone."""


class AttemptSecrets(AttemptMessage):
    """Console → worker: environment variables by name. ``unreadable`` names those that the console cannot decrypt any more."""

    secrets: dict[SecretName, Secret] = Field(default_factory=dict, max_length=MAX_SECRETS)
    unreadable: tuple[SecretName, ...] = Field(default=(), max_length=MAX_SECRETS)


class Lease(Message):
    """Console → worker: a job until ``deadline``, which every heartbeat moves on. ``fence`` only grows, over all of a job's leases."""

    job: Job
    fence: Fence
    grants: tuple[ObjectGrant, ...] = Field(max_length=MAX_GRANTS)
    deadline: AwareDatetime
    heartbeat_seconds: float = Field(gt=0, le=60)


class Phase(StrEnum):
    """What the training process is doing."""

    PREPARING = "preparing"
    TRAINING = "training"
    SAMPLING = "sampling"
    SAVING = "saving"


class Heartbeat(AttemptMessage):
    """Worker → console, from the training process itself; the first one is sent after CUDA init. ``sequence`` counts from 0."""

    sequence: int = Field(ge=0)
    phase: Phase
    step: Step = 0
    sent_at: AwareDatetime


class Order(StrEnum):
    """What a worker is to do.

    ``save``: write a checkpoint at the next step and go on. ``hand_back``: save a checkpoint and end as preempted. ``finish``:
    write the weights as they are and end as succeeded. ``stop``: write nothing more and end.
    """

    CONTINUE = "continue"
    SAVE = "save"
    FINISH = "finish"
    HAND_BACK = "hand_back"
    STOP = "stop"


class HeartbeatReply(AttemptMessage):
    """Console → worker."""

    order: Order
    deadline: AwareDatetime


class Progress(AttemptMessage):
    """Worker → console. ``metrics`` are the trainer's scalars; one that is not finite has no place here, it ends the attempt."""

    step: Step
    total_steps: int = Field(ge=1)
    seconds_left: float | None = Field(default=None, ge=0)
    metrics: dict[MetricName, float] = Field(default_factory=dict, max_length=MAX_METRICS)
    sent_at: AwareDatetime


class SamplePublished(AttemptMessage):
    """Worker → console: a sample is in the store."""

    step: Step
    prompt: str = Field(max_length=2000)
    object: PublishedObject

    @model_validator(mode="after")
    def _lies_where_samples_lie(self) -> "SamplePublished":
        _below(layout.sample_object(self.job, self.fence, self.step, "x")[:-1], (self.object,))
        return self


class LogLines(AttemptMessage):
    """Worker → console: what the training process wrote. ``first`` numbers the first of ``lines``, counted from 0 over the attempt."""

    first: int = Field(ge=0)
    lines: tuple[Annotated[str, StringConstraints(max_length=1000)], ...] = Field(min_length=1, max_length=200)

    @model_validator(mode="after")
    def _fits_a_message(self) -> "LogLines":
        if sum(len(line.encode()) for line in self.lines) > LOG_BYTES:
            raise ValueError(f"the lines have more than {LOG_BYTES} bytes; send them in several messages")
        return self


class CheckpointPublished(AttemptMessage):
    """Worker → console: every object of a checkpoint is in ``stores``. The row update that follows makes it published.

    The console looks for itself that at least two stores hold each object in this size, and refuses otherwise.
    """

    step: Step
    release: Digest
    format_version: int = Field(ge=1)
    objects: tuple[PublishedObject, ...] = Field(min_length=1, max_length=MAX_OBJECTS)
    stores: tuple[Id, ...] = Field(min_length=1, max_length=8)

    @model_validator(mode="after")
    def _lies_where_the_step_lies(self) -> "CheckpointPublished":
        _below(layout.step_prefix(self.job, self.fence, self.step), self.objects)
        return self


class Head(CheckpointPublished):
    """``jobs/<id>/HEAD.json``: a copy of the row about the newest published checkpoint."""

    updated_at: AwareDatetime


class ReportedProblem(_Part):
    """One line of why an attempt ended, as :class:`lorafleet.contracts.problems.Problem`."""

    what: str = Field(min_length=1, max_length=500)
    where: str = Field(default="", max_length=300)
    hint: str = Field(default="", max_length=300)


class Outcome(AttemptMessage):
    """Worker → console: the attempt has ended. ``exit_code`` is the process's, negative for a signal."""

    outcome: OutcomeClass
    exit_code: int = Field(ge=-64, le=255)
    step: Step
    problems: tuple[ReportedProblem, ...] = Field(default=(), max_length=MAX_PROBLEMS)
    outputs: tuple[PublishedObject, ...] = Field(default=(), max_length=16)
    log_tail: str = Field(default="", max_length=LOG_TAIL)

    @model_validator(mode="after")
    def _fits_together(self) -> "Outcome":
        if (self.outcome is OutcomeClass.SUCCEEDED) != (self.exit_code == 0):
            raise ValueError("an attempt succeeded exactly when its exit code is 0")
        _below(layout.output_object(self.job, self.fence, "x")[:-1], self.outputs)
        return self


class DesiredWorkers(_Part):
    """How many workers of a release a site should run now; the autoscaler reads the same numbers as a metric."""

    site: Id
    release: Digest
    workers: int = Field(ge=0)


MESSAGES: tuple[type[BaseModel], ...] = (
    Enrolment,
    AttemptToken,
    LeaseRequest,
    Lease,
    GrantRequest,
    Grants,
    DatasetRequest,
    DatasetFiles,
    SecretsRequest,
    AttemptSecrets,
    Heartbeat,
    HeartbeatReply,
    Progress,
    SamplePublished,
    LogLines,
    CheckpointPublished,
    Head,
    Outcome,
    DesiredWorkers,
)


def _below(prefix: str, objects: tuple[PublishedObject, ...]) -> None:
    for item in objects:
        if not item.key.startswith(prefix):
            raise ValueError(f"{item.key!r} does not lie below {prefix}")
