"""What the pages about jobs show, made from the ledger's rows. Templates only place it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from lorafleet.console.api.views import output_prefix
from lorafleet.console.domain.records import AttemptRecord, CheckpointRecord, EventKind, EventRecord, JobRecord
from lorafleet.console.domain.requests import settable
from lorafleet.console.web import remedies, wording
from lorafleet.console.web.config_text import as_yaml
from lorafleet.console.web.curves import Curve, colours
from lorafleet.console.web.language import Language
from lorafleet.console.web.remedies import Remedy
from lorafleet.console.web.rendering import who
from lorafleet.console.web.sentences import translated
from lorafleet.contracts import paths
from lorafleet.contracts.image import digest12
from lorafleet.contracts.job_states import JobState
from lorafleet.contracts.jobs import JobKind, Order, ReportedProblem

_TONES: Mapping[JobState, str] = {
    JobState.WAITING: "quiet",
    JobState.RUNNING: "live",
    JobState.SUCCEEDED: "good",
    JobState.FAILED: "bad",
    JobState.CANCELLED: "quiet",
}


@dataclass(frozen=True)
class Badge:
    """A state as a word and a colour's name; the word alone says everything."""

    text: str
    tone: str


@dataclass(frozen=True)
class JobLine:
    """A job in a list."""

    id: str
    name: str
    path: str
    badge: Badge
    dataset: str
    site: str
    step: int
    total_steps: int
    percent: str
    left: str
    loss: str
    submitted: str
    submitted_at: datetime
    submitted_by: str
    sentence: str
    is_probe: bool


@dataclass(frozen=True)
class Status:
    """The top of a job's page, which changes while one looks."""

    line: JobLine
    sentence: str
    position: str
    order: str
    step_text: str
    published: str
    is_over: bool
    actions: tuple[str, ...]
    problems: tuple[ReportedProblem, ...]
    remedy: Remedy | None


@dataclass(frozen=True)
class AttemptLine:
    """One attempt in the timeline."""

    fence: int
    site: str
    worker: str
    digest: str
    candidate: bool
    badge: Badge
    colour: int
    leased_at: datetime
    leased: str
    lasted: str
    steps: str
    started_in: str
    why: str
    exit_code: int | None
    problems: tuple[ReportedProblem, ...]


@dataclass(frozen=True)
class CheckpointLine:
    """A published checkpoint."""

    step: int
    step_text: str
    size: str
    stores: str
    published: str
    published_at: datetime
    digest: str


@dataclass(frozen=True)
class Sample:
    """A picture or text that was made while training."""

    step: int
    step_text: str
    url: str
    is_picture: bool


@dataclass(frozen=True)
class SampleRow:
    """A prompt's samples by step: the row of the grid."""

    prompt: str
    samples: tuple[Sample | None, ...]


@dataclass(frozen=True)
class SampleGrid:
    """Prompts down, steps across; ``total`` counts steps before the grid left some out."""

    steps: tuple[str, ...]
    rows: tuple[SampleRow, ...]
    total: int


@dataclass(frozen=True)
class Download:
    """A finished file."""

    name: str
    url: str
    size: str
    sha256: str


@dataclass(frozen=True)
class CurveRow:
    """A line of the curve's table."""

    step: str
    loss: str
    validation: str
    site: str


MOST_SAMPLE_STEPS = 12


def line(words: Language, job: JobRecord, now: datetime, newest: AttemptRecord | None = None) -> JobLine:
    """A job in a list."""
    share = min(1.0, job.step / job.total_steps) if job.total_steps else 0.0
    left = ""
    if job.state is JobState.RUNNING and job.seconds_left is not None and job.unknown_since is None:
        left = words.span(job.seconds_left)
    return JobLine(
        id=job.id,
        name=job.name,
        path=f"/jobs/{job.id}",
        badge=badge(words, job),
        dataset=job.dataset,
        site=job.site or "",
        step=job.step,
        total_steps=job.total_steps,
        percent=words.percent(round(share, 3)),
        left=left,
        loss="" if job.loss is None else words.significant(job.loss),
        submitted=words.ago(job.submitted_at, now),
        submitted_at=job.submitted_at,
        submitted_by=who(job.submitted_by),
        sentence=wording.sentence(words, job, newest, now),
        is_probe=job.kind is JobKind.PROBE,
    )


def badge(words: Language, job: JobRecord) -> Badge:
    """A job's state."""
    if job.state is JobState.RUNNING and job.unknown_since is not None:
        return Badge(words.gettext("Unknown"), "warn")
    return Badge(wording.job_state(words, job.state), _TONES[job.state])


def status(
    words: Language, job: JobRecord, attempts: Sequence[AttemptRecord], position: int | None, now: datetime, role_fits: bool
) -> Status:
    """The top of a job's page."""
    newest = attempts[-1] if attempts else None
    over = job.ended_at is not None
    step_text = ""
    if job.total_steps:
        step_text = words.gettext("Step %(step)s of %(steps)s", step=words.number(job.step), steps=words.number(job.total_steps))
    return Status(
        line=line(words, job, now, newest),
        sentence=wording.sentence(words, job, newest, now),
        position="" if position is None else words.ngettext("%(count)s job before it", "%(count)s jobs before it", position),
        order="" if newest is None or over else wording.order(words, newest.order),
        step_text=step_text,
        published="" if job.published_step is None else words.number(job.published_step),
        is_over=over,
        actions=_actions(job, newest) if role_fits else (),
        problems=_problems(words, job.problems) if job.state is JobState.FAILED else (),
        remedy=remedies.remedy(words, job, newest),
    )


def attempt_lines(words: Language, attempts: Sequence[AttemptRecord], now: datetime) -> tuple[AttemptLine, ...]:
    """The timeline, newest first."""
    numbered = colours(attempts)
    return tuple(_attempt(words, row, numbered[row.site], now) for row in reversed(attempts))


def checkpoint_lines(words: Language, checkpoints: Sequence[CheckpointRecord], now: datetime) -> tuple[CheckpointLine, ...]:
    """The checkpoints, newest first."""
    return tuple(
        CheckpointLine(
            step=row.step,
            step_text=words.number(row.step),
            size=words.size(sum(item.size for item in row.objects)),
            stores=", ".join(row.stores),
            published=words.ago(row.published_at, now),
            published_at=row.published_at,
            digest=digest12(row.release),
        )
        for row in sorted(checkpoints, key=lambda row: (row.step, row.fence), reverse=True)
    )


def sample_grid(words: Language, job: str, events: Sequence[EventRecord]) -> SampleGrid:
    """The samples by prompt and step. Of a step that was trained twice, the later attempt's count."""
    found: dict[str, dict[int, Sample]] = {}
    for event in events:
        if event.kind is EventKind.SAMPLE:
            sample = _sample(words, job, event)
            found.setdefault(str(event.values["prompt"]), {})[sample.step] = sample
    every = sorted({step for row in found.values() for step in row})
    steps = every[-MOST_SAMPLE_STEPS:]
    rows = tuple(SampleRow(prompt, tuple(row.get(step) for step in steps)) for prompt, row in found.items())
    return SampleGrid(tuple(words.number(step) for step in steps), rows, len(every))


def downloads(words: Language, job: JobRecord) -> tuple[Download, ...]:
    """The finished files, the weights first."""
    files = []
    for item in job.outputs:
        name = item.key.removeprefix(output_prefix(item.key))
        files.append(Download(name, f"{paths.API}/jobs/{job.id}/outputs/{quote(name)}", words.size(item.size), item.sha256))
    return tuple(sorted(files, key=lambda file: (not file.name.endswith(".safetensors"), file.name)))


def curve_rows(words: Language, found: Curve) -> tuple[CurveRow, ...]:
    """The curve as a table."""
    sites = {band.fence: band.site for band in found.bands}
    return tuple(
        CurveRow(
            step=words.number(point.step),
            loss="" if point.loss is None else words.significant(point.loss),
            validation="" if point.validation is None else words.significant(point.validation),
            site=sites.get(point.fence, ""),
        )
        for point in found.table()
    )


def configuration(job: JobRecord) -> str:
    """What was asked for, as a file that asks for it again."""
    return as_yaml(settable(job.training))


def provenance(words: Language, job: JobRecord, attempts: Sequence[AttemptRecord]) -> tuple[tuple[str, str], ...]:
    """Where the weights come from, as pairs of what and which."""
    releases = ", ".join(dict.fromkeys(digest12(row.digest) for row in attempts))
    sites = ", ".join(dict.fromkeys(row.site for row in attempts))
    pairs = [
        (words.gettext("Data set"), f"{job.dataset} / {job.version}"),
        (words.gettext("Base model"), str(job.training.get("base_model", ""))),
        (words.gettext("Trainer release"), releases),
        (words.gettext("Sites"), sites),
        (words.gettext("Submitted by"), who(job.submitted_by)),
        (words.gettext("Submitted"), words.moment(job.submitted_at)),
    ]
    if job.ended_at is not None:
        pairs.append((words.gettext("Ended"), words.moment(job.ended_at)))
    if job.continue_from is not None:
        text = job.continue_from if job.continue_step is None else words.gettext(
            "%(job)s from step %(step)s", job=job.continue_from, step=words.number(job.continue_step)
        )  # fmt: skip
        pairs.append((words.gettext("Goes on from"), text))
    return tuple((what, which) for what, which in pairs if which)


def _actions(job: JobRecord, newest: AttemptRecord | None) -> tuple[str, ...]:
    if job.ended_at is not None:
        return ("retry",)
    if job.state is JobState.RUNNING and not job.cancel_requested and newest is not None and newest.order is Order.CONTINUE:
        return ("save", "finish", "cancel")
    return () if job.cancel_requested else ("cancel",)


def _attempt(words: Language, row: AttemptRecord, colour: int, now: datetime) -> AttemptLine:
    tone = {"succeeded": "good", "failed": "bad", "lost": "bad", "revoked": "warn", "training": "live", "leased": "live"}.get(
        row.state.value, "quiet"
    )
    started = ""
    if row.first_heartbeat_at is not None:
        started = words.span((row.first_heartbeat_at - row.leased_at).total_seconds())
    return AttemptLine(
        fence=row.fence,
        site=row.site,
        worker=row.worker,
        digest=digest12(row.digest),
        candidate=row.track.value == "candidate",
        badge=Badge(wording.attempt_state(words, row.state), tone),
        colour=colour,
        leased_at=row.leased_at,
        leased=words.ago(row.leased_at, now),
        lasted=words.span(((row.ended_at or now) - row.leased_at).total_seconds()),
        steps=_steps(words, row),
        started_in=started,
        why=wording.outcome(words, row.outcome),
        exit_code=row.exit_code,
        problems=_problems(words, row.problems),
    )


def _problems(words: Language, problems: Sequence[ReportedProblem]) -> tuple[ReportedProblem, ...]:
    return tuple(
        each.model_copy(update={"what": translated(words, each.what), "hint": translated(words, each.hint)}) for each in problems
    )


def _steps(words: Language, row: AttemptRecord) -> str:
    if row.step <= row.start_step:
        return words.gettext("no step")
    return words.gettext("steps %(first)s to %(last)s", first=words.number(row.start_step), last=words.number(row.step))


def _sample(words: Language, job: str, event: EventRecord) -> Sample:
    values: Mapping[str, Any] = event.values
    step = int(values["step"])
    # jobs/<id>/samples/<fence>/step-<n>/<name>
    name = str(values["object"]["key"]).split("/", 5)[5]
    url = f"{paths.API}/jobs/{job}/samples/{event.fence}/{step}/{quote(name)}"
    return Sample(step, words.number(step), url, PurePosixPath(name).suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"))
