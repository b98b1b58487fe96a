"""What the store gives out: rows as frozen data. Times are aware and in UTC."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

from lorafleet.contracts import layout
from lorafleet.contracts.job_states import AttemptState, JobState
from lorafleet.contracts.jobs import JobKind, Order, Phase, PublishedObject, ReportedProblem
from lorafleet.contracts.outcomes import OutcomeClass
from lorafleet.contracts.release import Track

Row = TypeVar("Row")


class Role(StrEnum):
    """What a person or machine may do in a team. Each may also do what the one before may."""

    VIEWER = "viewer"
    TRAINER = "trainer"
    RELEASER = "releaser"
    ADMIN = "admin"


@dataclass(frozen=True)
class Principal:
    """Who asks. ``release`` limits a token to one release's addresses; ``token`` is its id, never its text."""

    subject: str
    team: str
    role: Role
    token: str = ""
    release: str | None = None


@dataclass(frozen=True)
class AttemptPrincipal:
    """A worker. Until it holds a lease, ``job`` is None."""

    site: str
    worker: str
    token: str
    job: str | None = None
    fence: int | None = None


@dataclass(frozen=True)
class Page(Generic[Row]):
    """A page of rows in a stable order; ``after`` is where the next one begins, or None at the end."""

    rows: Sequence[Row]
    after: str | None


@dataclass(frozen=True)
class DatasetRecord:
    """A data set and its newest version (None: nothing uploaded yet)."""

    id: str
    team: str
    name: str
    kind: str  # images or texts
    created_at: datetime
    version: str | None = None


@dataclass(frozen=True)
class VersionRecord:
    """An immutable version: its files by name, and what the checks found (``CheckReport`` as plain data)."""

    dataset: str
    version: str
    files: tuple[PublishedObject, ...]
    rows: int
    report: Mapping[str, Any]
    created_at: datetime
    created_by: str
    stores: tuple[str, ...] = ()

    @property
    def by_name(self) -> Mapping[str, PublishedObject]:
        """The files by their names inside the set. One that did not change lies under an earlier version's key."""
        return {layout.file_name(item.key): item for item in self.files}


@dataclass(frozen=True)
class DraftFile:
    """A file of a draft; ``entry`` says what it is. It lies in ``stores``, or ``content`` is all of it."""

    file: str
    entry: Mapping[str, Any]
    stores: tuple[str, ...] = ()
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class DraftRecord:
    """An upload that is no version yet. ``base`` is the version that it goes on from, ``revision`` grows with each change."""

    id: str
    dataset: str
    base: str | None
    files: tuple[DraftFile, ...]
    captions: Mapping[str, str]
    revision: int


@dataclass(frozen=True)
class Submission:
    """What a person asks to be trained. ``training`` is the checked configuration as plain data, places left to the worker."""

    name: str
    dataset: str
    version: str
    training: Mapping[str, Any]
    priority: int = 0
    gpus: int = 0
    min_memory_mib: int = 0
    continue_from: str | None = None
    continue_step: int | None = None
    kind: JobKind = JobKind.USER


@dataclass(frozen=True)
class AttemptRecord:
    """One lease of a job, from the first to the last message."""

    job: str
    fence: int
    site: str
    worker: str
    digest: str
    track: Track
    state: AttemptState
    leased_at: datetime
    deadline: datetime
    first_heartbeat_at: datetime | None = None
    last_heartbeat_at: datetime | None = None
    ended_at: datetime | None = None
    phase: Phase = Phase.PREPARING
    step: int = 0
    start_step: int = 0
    outcome: OutcomeClass | None = None
    exit_code: int | None = None
    problems: tuple[ReportedProblem, ...] = ()
    order: Order = Order.CONTINUE


@dataclass(frozen=True)
class CheckpointRecord:
    """A published checkpoint."""

    job: str
    fence: int
    step: int
    release: str
    format_version: int
    objects: tuple[PublishedObject, ...]
    stores: tuple[str, ...]
    published_at: datetime


@dataclass(frozen=True)
class JobRecord:
    """A job. ``waiting_for`` says in words why a waiting job waits; ``unknown_since``: its worker has not been heard of since.

    ``forgotten_at``: its events and log were removed then, long after its end.
    """

    id: str
    team: str
    name: str
    kind: JobKind
    state: JobState
    dataset: str
    version: str
    training: Mapping[str, Any]
    priority: int
    submitted_by: str
    submitted_at: datetime
    gpus: int = 0
    min_memory_mib: int = 0
    fence: int = 0
    step: int = 0
    total_steps: int = 0
    seconds_left: float | None = None
    loss: float | None = None
    published_step: int | None = None
    outputs: tuple[PublishedObject, ...] = ()
    output_stores: tuple[str, ...] = ()
    site: str | None = None
    ended_at: datetime | None = None
    forgotten_at: datetime | None = None
    problems: tuple[ReportedProblem, ...] = ()
    waiting_for: str = ""
    unknown_since: datetime | None = None
    attempts: int = 0
    cancel_requested: bool = False
    continue_from: str | None = None
    continue_step: int | None = None


class EventKind(StrEnum):
    """What happened to a job, in the order of its events' numbers."""

    SUBMITTED = "submitted"
    LEASED = "leased"
    STARTED = "started"
    PROGRESS = "progress"
    SAMPLE = "sample"
    LOG = "log"
    CHECKPOINT = "checkpoint"
    ENDED = "ended"
    LOST = "lost"
    REVOKED = "revoked"
    ORDER = "order"
    FINISHED = "finished"


@dataclass(frozen=True)
class EventRecord:
    """One event. ``number`` grows over all jobs, so that a page that reconnects asks for what came after it."""

    number: int
    job: str
    kind: EventKind
    at: datetime
    fence: int = 0
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SiteRecord:
    """A site as the console sees it. ``store`` names its object store; ``heard_at`` is any worker's last message."""

    name: str
    cloud: str
    region: str
    store: str
    heard_at: datetime | None = None
    workers: int = 0
    paused: bool = False


@dataclass(frozen=True)
class WorkerRecord:
    """A worker that was heard of lately."""

    site: str
    worker: str
    digest: str
    gpus: tuple[Mapping[str, Any], ...]
    heard_at: datetime
    job: str | None = None


@dataclass(frozen=True)
class TokenRecord:
    """A token without its text."""

    id: str
    team: str
    name: str
    role: Role
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True)
class SecretRecord:
    """A team's secret, sealed as :mod:`lorafleet.console.domain.sealing` does."""

    team: str
    name: str
    sealed: str
    updated_at: datetime
    updated_by: str


@dataclass(frozen=True)
class AuditRecord:
    """Who did what. ``digest`` chains each row to the one before it in its team."""

    number: int
    team: str
    at: datetime
    actor: str
    action: str
    target: str
    values: Mapping[str, Any]
    digest: str


@dataclass(frozen=True)
class Holding:
    """Objects that belong together and where they lie: a data set version's files, or a checkpoint's objects."""

    objects: tuple[PublishedObject, ...]
    stores: tuple[str, ...]
    dataset: str | None = None
    version: str | None = None
    job: str | None = None
    fence: int | None = None
    step: int | None = None


Series = tuple[str, tuple[str, ...]]
"""A series of Prometheus: its name, such as ``lorafleet_first_heartbeat_seconds_bucket``, and the values of its labels in order."""
