"""Jobs: submit, look at, steer."""

import hashlib
import json
from typing import Annotated

from fastapi import APIRouter, Header, Query

from lorafleet.console.api.auth import Trainer, Viewer
from lorafleet.console.api.parameters import After, JobId, Limit
from lorafleet.console.api.services import Here, Services
from lorafleet.console.api.views import attempt_view, checkpoint_view, job_row, job_view
from lorafleet.console.domain.records import JobRecord, Principal
from lorafleet.console.domain.refusals import Conflict, NotFound, Unprocessable
from lorafleet.console.domain.requests import again, submission
from lorafleet.console.failpoints import Failpoint, reach
from lorafleet.contracts import paths
from lorafleet.contracts.console_api import (
    AttemptView,
    CheckpointView,
    Continuation,
    JobRow,
    JobView,
    LogView,
    NewJob,
    PageOf,
)
from lorafleet.contracts.job_states import JobState
from lorafleet.contracts.jobs import Order
from lorafleet.contracts.layout import ID

router = APIRouter(prefix=f"{paths.API}/jobs", tags=["jobs"])

IdempotencyKey = Annotated[
    str | None, Header(min_length=1, max_length=200, description="Sending the same request twice under one key makes one job.")
]


@router.post("", status_code=201)
def submit(body: NewJob, principal: Trainer, here: Here, idempotency_key: IdempotencyKey = None) -> JobView:
    """Submit a job. Once answered, it outlives any failure of the console."""
    return _submit(body, principal, here, idempotency_key, "submit")


@router.get("")
def list_jobs(
    principal: Viewer,
    here: Here,
    state: Annotated[list[JobState] | None, Query(max_length=len(JobState))] = None,
    dataset: Annotated[str | None, Query(pattern=rf"^{ID}$")] = None,
    after: After = None,
    limit: Limit = 50,
) -> PageOf[JobRow]:
    """The team's jobs, newest first."""
    page = here.ledger.jobs.page(principal.team, state or (), after, limit, dataset)
    return PageOf[JobRow](rows=tuple(job_row(row) for row in page.rows), after=page.after)


@router.get("/{job}")
def get_job(job: JobId, principal: Viewer, here: Here) -> JobView:
    """One job."""
    return _view(here, here.ledger.jobs.get(principal.team, job))


@router.get("/{job}/attempts")
def attempts(job: JobId, principal: Viewer, here: Here) -> list[AttemptView]:
    """Its leases, oldest first."""
    return [attempt_view(row) for row in here.ledger.jobs.attempts(principal.team, job)]


@router.get("/{job}/checkpoints")
def checkpoints(job: JobId, principal: Viewer, here: Here) -> list[CheckpointView]:
    """What it has published."""
    return [checkpoint_view(row) for row in here.ledger.jobs.checkpoints(principal.team, job)]


@router.get("/{job}/log")
def log(
    job: JobId,
    principal: Viewer,
    here: Here,
    fence: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
    last: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> LogView:
    """The end of an attempt's log; it stays when the job is over."""
    return LogView(job=job, lines=tuple(here.ledger.jobs.log(principal.team, job, fence, last)))


@router.post("/{job}/cancel")
def cancel(job: JobId, principal: Trainer, here: Here) -> JobView:
    """Stop a job for good. A worker that trains it is told with its next heartbeat."""
    record = here.ledger.jobs.cancel(principal.team, job, principal.subject)
    reach(Failpoint.CANCEL_COMMITTED)
    return _view(here, record)


@router.post("/{job}/save")
def save(job: JobId, principal: Trainer, here: Here) -> JobView:
    """Have a running job write a checkpoint now and go on."""
    return _order(job, Order.SAVE, principal, here)


@router.post("/{job}/finish")
def finish(job: JobId, principal: Trainer, here: Here) -> JobView:
    """Stop a running job now and keep its weights as they are."""
    return _order(job, Order.FINISH, principal, here)


@router.post("/{job}/retry", status_code=201)
def retry(job: JobId, principal: Trainer, here: Here, idempotency_key: IdempotencyKey = None) -> JobView:
    """Submit an ended job once more, as a new job."""
    record = here.ledger.jobs.get(principal.team, job)
    if record.ended_at is None:
        raise Conflict(f"job {job} is {record.state}; only an ended one is run again", hint="cancel it first")
    return _submit(again(record), principal, here, idempotency_key, f"retry {job}")


@router.post("/{job}/continue", status_code=201)
def continue_job(job: JobId, body: Continuation, principal: Trainer, here: Here, idempotency_key: IdempotencyKey = None) -> JobView:
    """Submit a new job that goes on from a checkpoint of this one, with some keys changed."""
    record = here.ledger.jobs.get(principal.team, job)
    request = again(record, name=body.name, changes=body.training)
    request = request.model_copy(update={"continue_from": job, "continue_step": body.step})
    return _submit(request, principal, here, idempotency_key, f"continue {job}")


def _submit(request: NewJob, principal: Principal, here: Services, key: str | None, route: str) -> JobView:
    version = request.version or here.ledger.datasets.get(principal.team, request.dataset).version
    if version is None:
        raise Unprocessable(f"data set {request.dataset} has no files yet", where="dataset", hint="upload some first")
    here.ledger.datasets.version(principal.team, request.dataset, version)
    _check_step(request, principal, here)
    wanted = submission(request, version, request.continue_step)
    body = json.dumps([route, request.model_dump(mode="json")], sort_keys=True)
    scoped = None if key is None else hashlib.sha256(f"{principal.subject}\0{key}".encode()).hexdigest()
    record = here.ledger.jobs.submit(principal.team, wanted, principal.subject, scoped, hashlib.sha256(body.encode()).hexdigest())
    reach(Failpoint.SUBMIT_COMMITTED)
    return _view(here, record)


def _check_step(request: NewJob, principal: Principal, here: Services) -> None:
    if request.continue_from is None:
        if request.continue_step is not None:
            raise Unprocessable("continue_step needs continue_from", where="continue_step")
        return
    steps = [row.step for row in here.ledger.jobs.checkpoints(principal.team, request.continue_from)]
    if not steps:
        raise NotFound(f"job {request.continue_from} has published no checkpoint", where="continue_from")
    if request.continue_step is not None and request.continue_step not in steps:
        raise NotFound(
            f"job {request.continue_from} has no checkpoint at step {request.continue_step}",
            where="continue_step",
            hint=f"it has {', '.join(map(str, sorted(steps)[-5:]))}",
        )


def _order(job: str, order: Order, principal: Principal, here: Services) -> JobView:
    record = here.ledger.jobs.order(principal.team, job, order, principal.subject)
    return _view(here, record)


def _view(here: Services, record: JobRecord) -> JobView:
    position = here.ledger.jobs.position(record.team, record.id) if record.state is JobState.WAITING else None
    return job_view(record, position)
