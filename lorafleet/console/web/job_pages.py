"""Jobs: the list, the queue, and one job with everything that happened to it."""

import secrets
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Form, Query, Response
from starlette.responses import JSONResponse

from lorafleet.console.api import jobs as api
from lorafleet.console.api.auth import Trainer, Viewer
from lorafleet.console.api.parameters import After, JobId
from lorafleet.console.api.services import Here, Services
from lorafleet.console.domain.records import AttemptRecord, EventRecord, JobRecord, Principal, Role
from lorafleet.console.domain.refusals import Conflict
from lorafleet.console.domain.requests import again
from lorafleet.console.web import job_view as view
from lorafleet.console.web import remedies, wording
from lorafleet.console.web.curves import curve
from lorafleet.console.web.preferences import done
from lorafleet.console.web.rendering import Look, Looks, fragment, may, page
from lorafleet.contracts import paths
from lorafleet.contracts.console_api import Continuation
from lorafleet.contracts.job_states import JobState

router = APIRouter(include_in_schema=False)

_PAGE = 30
_EVENTS_AT_ONCE = 5000
_MOST_EVENTS = 100_000
LOG_LINES = 500

IdempotencyKey = Annotated[str, Form(min_length=1, max_length=200)]
LogFence = Annotated[int | None, Query(ge=1, lt=2**63)]


@router.get("/jobs")
def job_list(
    looks: Looks,
    principal: Viewer,
    here: Here,
    state: Annotated[JobState | None, Query()] = None,
    dataset: Annotated[str | None, Query(max_length=63)] = None,
    after: After = None,
) -> Response:
    """The team's jobs, newest first."""
    found = here.ledger.jobs.page(principal.team, (state,) if state else (), after, _PAGE, dataset)
    now = here.ledger.now()
    values = {
        "jobs": tuple(view.line(looks.language, row, now) for row in found.rows),
        "after": found.after,
        "state": state.value if state else "",
        "states": tuple((each.value, wording.job_state(looks.language, each)) for each in JobState),
        "dataset": dataset or "",
        "may_train": may(principal, Role.TRAINER),
    }
    return page("jobs.html", looks, principal, values)


@router.get("/queue")
def queue(looks: Looks, principal: Viewer, here: Here, after: After = None) -> Response:
    """What waits, and why."""
    found = here.ledger.jobs.page(principal.team, (JobState.WAITING,), after, _PAGE)
    now = here.ledger.now()
    waiting = tuple(
        (view.line(looks.language, row, now), here.ledger.jobs.position(principal.team, row.id), row.priority) for row in found.rows
    )
    ordered = tuple(sorted(waiting, key=lambda each: (each[1] is None, each[1] or 0)))
    running = here.ledger.jobs.page(principal.team, (JobState.RUNNING,), None, _PAGE)
    values = {
        "waiting": ordered,
        "running": tuple(view.line(looks.language, row, now, _newest(here, row)) for row in running.rows),
        "after": found.after,
        "workers": len(here.ledger.dispatcher.workers()),
    }
    return page("queue.html", looks, principal, values)


@router.get("/jobs/{job}")
def job_page(job: JobId, looks: Looks, principal: Viewer, here: Here, log: LogFence = None) -> Response:
    """One job; ``log`` names the attempt whose log is shown."""
    record = here.ledger.jobs.get(principal.team, job)
    attempts = here.ledger.jobs.attempts(principal.team, job)
    events = _events(here, principal, job)
    words = looks.language
    values = {
        **_status_values(looks, principal, here, record, attempts),
        **_log_values(here, principal, job, log),
        **_parts_values(looks, principal, here, record, attempts, events),
        "alone": False,
        "after": events[-1].number if events else 0,
        "stream": f"{paths.API}/jobs/{job}/events",
        "downloads": view.downloads(words, record),
        "configuration": view.configuration(record),
        "provenance": view.provenance(words, record, attempts),
    }
    return page("job.html", looks, principal, values)


@router.get("/jobs/{job}/parts")
def job_parts(job: JobId, looks: Looks, principal: Viewer, here: Here) -> Response:
    """Its samples, attempts and checkpoints anew, and with them the words that go with the chart."""
    record = here.ledger.jobs.get(principal.team, job)
    attempts = here.ledger.jobs.attempts(principal.team, job)
    values = _parts_values(looks, principal, here, record, attempts, _events(here, principal, job))
    return fragment("job_parts.html", looks, {**values, "alone": True})


@router.get("/jobs/{job}/status")
def job_status(job: JobId, looks: Looks, principal: Viewer, here: Here) -> Response:
    """The top of its page, anew."""
    record = here.ledger.jobs.get(principal.team, job)
    attempts = here.ledger.jobs.attempts(principal.team, job)
    return fragment("job_status.html", looks, _status_values(looks, principal, here, record, attempts))


@router.get("/jobs/{job}/log")
def job_log(job: JobId, looks: Looks, principal: Viewer, here: Here) -> Response:
    """The end of its log, anew."""
    return fragment("job_log.html", looks, {**_log_values(here, principal, job), "job": job})


@router.get("/jobs/{job}/curve")
def job_curve(job: JobId, principal: Viewer, here: Here) -> Response:
    """Its curves, for the chart."""
    attempts = here.ledger.jobs.attempts(principal.team, job)
    return JSONResponse(curve(_events(here, principal, job), attempts).as_data())


@router.post("/jobs/{job}/cancel")
def cancel(job: JobId, principal: Trainer, here: Here) -> Response:
    """Stop it."""
    api.cancel(job, principal, here)
    return done(f"/jobs/{job}", "cancelled")


@router.post("/jobs/{job}/save")
def save(job: JobId, principal: Trainer, here: Here) -> Response:
    """Have it save now."""
    api.save(job, principal, here)
    return done(f"/jobs/{job}", "save")


@router.post("/jobs/{job}/finish")
def finish(job: JobId, principal: Trainer, here: Here) -> Response:
    """Have it stop and keep the weights."""
    api.finish(job, principal, here)
    return done(f"/jobs/{job}", "finish")


@router.post("/jobs/{job}/retry")
def retry(
    job: JobId, looks: Looks, principal: Trainer, here: Here, remedy: Annotated[bool, Form()] = False, key: IdempotencyKey = "again"
) -> Response:
    """Run it again, with the remedy's settings where that is wanted."""
    record = here.ledger.jobs.get(principal.team, job)
    if record.ended_at is None:
        raise Conflict(f"job {job} is {record.state}; only an ended one is run again", hint="stop it first")
    attempts = here.ledger.jobs.attempts(principal.team, job)
    found = remedies.remedy(looks.language, record, attempts[-1] if attempts else None) if remedy else None
    new = api.submit(again(record, changes=found.changes if found else None), principal, here, f"retry {job} {key}")
    return done(f"/jobs/{new.id}", "retried")


@router.post("/jobs/{job}/continue")
def go_on(
    job: JobId,
    principal: Trainer,
    here: Here,
    step: Annotated[int, Form(ge=0, lt=2**63)],
    key: IdempotencyKey = "again",
) -> Response:
    """Go on from a checkpoint as a new job."""
    new = api.continue_job(job, Continuation(step=step), principal, here, f"continue {job} {step} {key}")
    return done(f"/jobs/{new.id}", "retried")


def _status_values(
    looks: Look, principal: Principal, here: Services, record: JobRecord, attempts: Sequence[AttemptRecord]
) -> dict[str, object]:
    position = here.ledger.jobs.position(record.team, record.id) if record.state is JobState.WAITING else None
    fits = may(principal, Role.TRAINER)
    found = view.status(looks.language, record, attempts, position, here.ledger.now(), fits)
    return {"job": record.id, "status": found, "key": secrets.token_urlsafe(9)}


def _parts_values(
    looks: Look,
    principal: Principal,
    here: Services,
    record: JobRecord,
    attempts: Sequence[AttemptRecord],
    events: Sequence[EventRecord],
) -> dict[str, object]:
    words, now = looks.language, here.ledger.now()
    found = curve(events, attempts)
    return {
        "job": record.id,
        "forgotten": record.forgotten_at and words.moment(record.forgotten_at),
        "bands": found.bands,
        "repeated": found.repeated,
        "curve_rows": view.curve_rows(words, found),
        "samples": view.sample_grid(words, record.id, events),
        "attempts": view.attempt_lines(words, attempts, now),
        "checkpoints": view.checkpoint_lines(words, here.ledger.jobs.checkpoints(principal.team, record.id), now),
        "can_continue": record.ended_at is not None and may(principal, Role.TRAINER),
        "key": secrets.token_urlsafe(9),
    }


def _newest(here: Services, record: JobRecord) -> AttemptRecord | None:
    attempts = here.ledger.jobs.attempts(record.team, record.id)
    return attempts[-1] if attempts else None


def _log_values(here: Services, principal: Principal, job: str, fence: int | None = None) -> dict[str, object]:
    return {"log": tuple(here.ledger.jobs.log(principal.team, job, fence, LOG_LINES)), "log_fence": fence}


def _events(here: Services, principal: Principal, job: str) -> Sequence[EventRecord]:
    found: list[EventRecord] = []
    while len(found) < _MOST_EVENTS:
        part = here.ledger.jobs.events(principal.team, job, found[-1].number if found else 0, _EVENTS_AT_ONCE)
        found.extend(part)
        if len(part) < _EVENTS_AT_ONCE:
            break
    return found
