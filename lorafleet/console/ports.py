"""What the API and the loops need of the store, as protocols. The SQL side is :mod:`lorafleet.console.store`.

Everything here is synchronous, safe to call from several threads and processes, and durable when it returns. Refusals are the
exceptions of :mod:`lorafleet.console.domain.refusals`. Methods that take ``team`` never show or touch another team's things.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from lorafleet.console.domain.records import (
    AttemptPrincipal,
    AttemptRecord,
    AuditRecord,
    CheckpointRecord,
    DatasetRecord,
    DraftFile,
    DraftRecord,
    EventKind,
    EventRecord,
    Holding,
    JobRecord,
    Page,
    Principal,
    Role,
    SecretRecord,
    Series,
    SiteRecord,
    Submission,
    TokenRecord,
    VersionRecord,
    WorkerRecord,
)
from lorafleet.contracts.job_states import JobState
from lorafleet.contracts.jobs import (
    CheckpointPublished,
    DesiredWorkers,
    Heartbeat,
    HeartbeatReply,
    Job,
    LeaseRequest,
    LogLines,
    Order,
    Outcome,
    Progress,
    PublishedObject,
    SamplePublished,
)
from lorafleet.contracts.problems import StorageError
from lorafleet.contracts.release import Breach, Verdict
from lorafleet.contracts.release_api import Registration, ReleaseView, StageAnswer, Watch


class Datasets(Protocol):
    """Data sets and their immutable versions. Objects are written before, by the caller."""

    def create(self, team: str, name: str, kind: str, actor: str) -> DatasetRecord: ...
    def get(self, team: str, dataset: str) -> DatasetRecord: ...
    def page(self, team: str, after: str | None = None, limit: int = 50) -> Page[DatasetRecord]: ...
    def add_version(
        self, team: str, dataset: str, version: str, files: Sequence[PublishedObject], rows: int, report: Mapping[str, Any],
        stores: Sequence[str], actor: str, draft: DraftRecord | None = None,
    ) -> VersionRecord:  # fmt: skip
        """Make a version known. With ``draft`` that one ends in the same moment.

        NotFound where it had ended before, Conflict where it has changed.
        """
        ...

    def version(self, team: str, dataset: str, version: str) -> VersionRecord: ...
    def versions(self, team: str, dataset: str) -> Sequence[VersionRecord]: ...


class Drafts(Protocol):
    """Uploads that go on over several requests, at any console."""

    def begin(
        self, team: str, dataset: str, base: str | None = None, files: Sequence[DraftFile] = (),
        captions: Mapping[str, str] | None = None,
    ) -> str: ...  # fmt: skip
    def get(self, team: str, dataset: str, draft: str) -> DraftRecord:
        """Without the files' content. Raises NotFound."""
        ...

    def change(self, draft: DraftRecord, captions: Mapping[str, str], add: Sequence[DraftFile], taken_out: Sequence[str]) -> bool:
        """Change a draft that is still as it was read; False where another was faster. Raises NotFound where it is over."""
        ...

    def contents(self, draft: str) -> Mapping[str, bytes]:
        """Small texts by file."""
        ...

    def drop(self, team: str, dataset: str, draft: str) -> None: ...
    def abandon(self, after: timedelta) -> None:
        """Drop those that nobody has touched for so long."""
        ...

    def dropped(self, ago: timedelta) -> Sequence[tuple[str, str]]:
        """Data set and id of those that were dropped so long ago."""
        ...

    def forget(self, draft: str) -> None:
        """Remove a dropped one, whose objects are removed."""
        ...


class Jobs(Protocol):
    """Jobs as people see them."""

    def submit(self, team: str, submission: Submission, actor: str, key: str | None = None, body_digest: str = "") -> JobRecord:
        """A second call with the same ``key`` gives the first one's job; with another body it is refused (Unprocessable)."""
        ...

    def get(self, team: str, job: str) -> JobRecord: ...
    def page(
        self, team: str, states: Sequence[JobState] = (), after: str | None = None, limit: int = 50, dataset: str | None = None
    ) -> Page[JobRecord]:
        """Newest first."""
        ...

    def attempts(self, team: str, job: str) -> Sequence[AttemptRecord]: ...
    def checkpoints(self, team: str, job: str) -> Sequence[CheckpointRecord]: ...
    def events(self, team: str, job: str | None, after: int = 0, limit: int = 500) -> Sequence[EventRecord]: ...
    def log(self, team: str, job: str, fence: int | None = None, last: int = 1000) -> Sequence[str]: ...
    def cancel(self, team: str, job: str, actor: str) -> JobRecord: ...
    def order(self, team: str, job: str, order: Order, actor: str) -> JobRecord:
        """``save`` or ``finish``, given to the running attempt with its next heartbeat."""
        ...

    def position(self, team: str, job: str) -> int | None:
        """How many jobs would be leased before a waiting one; None for others."""
        ...


class Dispatcher(Protocol):
    """Leases, fences and what workers report. Each message is checked against the job's newest fence; a stale one is Fenced."""

    def lease(self, request: LeaseRequest, lifetime: timedelta) -> tuple[Job, int, datetime] | None:
        """A job for this worker with its new fence and the lease's deadline; None where nothing fits now."""
        ...

    def lease_many(self, requests: Sequence[LeaseRequest], lifetime: timedelta) -> Sequence[tuple[Job, int, datetime] | None]:
        """The same for several workers in one transaction."""
        ...

    def lose_not_begun(self, site: str, worker: str) -> None:
        """End leases that a worker which asks for a job has never begun: the answer with them was lost on its way."""
        ...

    def heartbeat(self, message: Heartbeat, lifetime: timedelta) -> HeartbeatReply: ...
    def note_fenced(self, job: str, fence: int) -> None:
        """Count that a message of this lease was refused, which had ended."""
        ...

    def progress(self, messages: Sequence[Progress]) -> None: ...
    def sample(self, message: SamplePublished) -> None: ...
    def log(self, message: LogLines) -> None: ...
    def checkpoint(self, message: CheckpointPublished) -> CheckpointRecord:
        """Publish: one fenced row update. The caller has verified the objects. Repeating it is harmless."""
        ...

    def outcome(self, message: Outcome, stores: Sequence[str]) -> JobRecord:
        """End the attempt, and the job where it decides it. Repeating it is harmless."""
        ...

    def holds(self, job: str, fence: int) -> AttemptRecord:
        """The attempt that holds the job's newest fence and may write. Raises Fenced otherwise."""
        ...

    def leased(self, job: str, fence: int) -> JobRecord:
        """The job that this lease holds, which says what its worker may read. Raises Fenced."""
        ...

    def expire(self, grace: timedelta, lifetime: timedelta | None = None) -> Sequence[AttemptRecord]:
        """Attempts whose deadline is past: *unknown* first, lost after ``grace``; a lost one's job waits again.

        With ``lifetime`` none is lost before this process has heard workers for so long without a break.
        """
        ...

    def desired_workers(self) -> Sequence[DesiredWorkers]: ...
    def set_quota(self, team: str, max_running: int | None) -> None:
        """How many jobs of a team may run at once; None lifts the limit."""
        ...

    def quota(self, team: str) -> int | None: ...
    def sites(self) -> Sequence[SiteRecord]: ...
    def put_site(self, site: SiteRecord) -> None: ...
    def workers(self) -> Sequence[WorkerRecord]: ...


class Releases(Protocol):
    """Releases, their shares and verdicts. ``digest`` names an image; ``release`` the console's id of one try to release it."""

    def set_stable(self, application: str, digest: str, sites: Sequence[str]) -> None:
        """Name the stable release where there is none yet (the first installation, the embedded default)."""
        ...

    def set_probe_template(self, team: str, submission: Submission | None) -> None:
        """What probe jobs train, as jobs of ``team``; without one a candidate has only users' jobs as samples."""
        ...

    def register(self, registration: Registration, actor: str) -> ReleaseView:
        """Conflict while another release of the application is under way."""
        ...

    def get(self, release: str) -> ReleaseView: ...
    def page(self, after: str | None = None, limit: int = 50) -> Page[ReleaseView]: ...
    def set_share(self, release: str, site: str, step: int) -> ReleaseView: ...
    def start_watch(self, release: str, site: str, watch: Watch) -> str: ...
    def watch(self, release: str, site: str, watch_id: str) -> StageAnswer: ...
    def breach(self, release: str, breaches: Sequence[Breach], reason: str) -> ReleaseView:
        """Share 0 in every site at once and the leases revoked; idempotent."""
        ...

    def revoke(self, release: str, reason: str, actor: str) -> ReleaseView: ...
    def promote(self, release: str, actor: str) -> StageAnswer:
        """Give a release that has passed all requests. It can still be watched and taken back."""
        ...

    def settle(self, release: str, actor: str) -> StageAnswer:
        """Make a promotion final, or say how it stands: PASS once no lease of the old release is left."""
        ...

    def verdict(self, release: str) -> Verdict: ...
    def live(self) -> Sequence[tuple[ReleaseView, Registration]]:
        """Candidates that have requests now: what the guard looks at."""
        ...

    def latencies(self, release: str, site: str, window: timedelta) -> Sequence[float]:
        """Seconds from lease to first heartbeat, of the release's attempts of the last ``window``; one still waiting counts its age."""
        ...

    def counts(self, release: str) -> Mapping[str, Any]:
        """By site: :class:`lorafleet.contracts.release.OutcomeCounts`."""
        ...

    def evaluated(self, release: str, unanswered: Sequence[str]) -> None:
        """The guard has judged a candidate just now; ``unanswered`` names the queries that gave it no answer."""
        ...


class Access(Protocol):
    """Tokens, enrolment and the audit log. Only SHA-256 of a token's text is stored."""

    def create_token(
        self, team: str, name: str, role: Role, actor: str, lifetime: timedelta | None = None, release: str | None = None
    ) -> tuple[TokenRecord, str]: ...
    def principal(self, text: str) -> Principal:
        """Raises Unauthorized."""
        ...

    def tokens(self, team: str) -> Sequence[TokenRecord]: ...
    def revoke_token(self, team: str, token: str, actor: str) -> None: ...
    def put_enrolment(self, site: str) -> str:
        """A new credential of a site, which ends the old one after a day; the text is given out this once."""
        ...

    def enrol(self, site: str, worker: str, credential: str, lifetime: timedelta) -> tuple[str, datetime]:
        """An attempt token's text and end. Raises Unauthorized."""
        ...

    def attempt_principal(self, text: str) -> AttemptPrincipal: ...
    def bind(self, token: str, job: str, fence: int) -> None:
        """Tie an attempt token to its lease; it dies with the attempt."""
        ...

    def record(self, team: str, actor: str, action: str, target: str, values: Mapping[str, Any]) -> None: ...
    def audit(self, team: str, after: str | None = None, limit: int = 100) -> Page[AuditRecord]: ...
    def verify_audit(self, team: str) -> int:
        """How many rows of the chain hold. Raises Conflict naming the first that does not."""
        ...


class Secrets(Protocol):
    """Teams' secrets as sealed text; the store never has the key."""

    def put(self, team: str, name: str, sealed: str, actor: str) -> SecretRecord:
        """A new value takes the old one's place. Conflict where the team has :data:`~lorafleet.contracts.team_secrets.MAX_SECRETS`."""
        ...

    def of_team(self, team: str) -> Sequence[SecretRecord]:
        """By name."""
        ...

    def remove(self, team: str, name: str, actor: str) -> None: ...
    def every(self) -> Sequence[SecretRecord]:
        """Of all teams, to seal them anew under another key."""
        ...

    def reseal(self, record: SecretRecord, sealed: str) -> bool:
        """Put the same value under another key; False where it was changed or removed meanwhile."""
        ...


class Upkeep(Protocol):
    """What the console's own loops and metrics ask for, over all teams."""

    def needed(self) -> Sequence[Holding]:
        """What unfinished jobs cannot do without: their data set versions and newest checkpoints."""
        ...

    def held_by(self, holding: Holding, stores: Sequence[str]) -> None:
        """Note where a holding lies now; the caller has verified it."""
        ...

    def job_counts(self) -> Mapping[JobState, int]: ...
    def forget(self, keep: timedelta) -> bool:
        """Remove a small batch of what ended longer ago than ``keep``; whether there may be more.

        Events and logs of jobs go, and probe jobs whole; jobs of people, their attempts and checkpoints, releases and audit stay.
        """
        ...

    def counts(self) -> Mapping[Series, float]:
        """Counters and histograms that attempts make up. They never fall, and every console tells the same."""
        ...


class Ledger(Protocol):
    """All of them over one database."""

    @property
    def datasets(self) -> Datasets: ...
    @property
    def drafts(self) -> Drafts: ...
    @property
    def jobs(self) -> Jobs: ...
    @property
    def dispatcher(self) -> Dispatcher: ...
    @property
    def releases(self) -> Releases: ...
    @property
    def access(self) -> Access: ...
    @property
    def secrets(self) -> Secrets: ...
    @property
    def upkeep(self) -> Upkeep: ...
    def now(self) -> datetime:
        """The database's clock where it has one, so that several consoles agree."""
        ...

    def listen(self, listener: Callable[[Sequence[tuple[str, EventKind]]], None]) -> Callable[[], None]:
        """Call ``listener`` with (job, kind) pairs after each commit of this process that wrote events; the answer ends it."""
        ...

    @property
    def moved(self) -> StorageError | None:
        """Why this console must end: another site is the home of the database."""
        ...

    def ready(self) -> None:
        """Raises StorageError where the database does not answer."""
        ...

    def close(self) -> None: ...
