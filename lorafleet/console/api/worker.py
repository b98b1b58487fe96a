"""What workers say: see :mod:`lorafleet.contracts.jobs` for the messages and :mod:`lorafleet.contracts.paths` for the addresses.

Whatever a worker claims to have stored is looked for in the stores before it is believed, and every change of a job goes through
the ledger's fence.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from lorafleet.console.api.auth import Worker, same_attempt
from lorafleet.console.api.services import Here, Leased, Services
from lorafleet.console.domain.records import JobRecord
from lorafleet.console.domain.redaction import redacted_log, redacted_outcome
from lorafleet.console.domain.refusals import Forbidden, Unauthorized, Unprocessable
from lorafleet.console.failpoints import Failpoint, reach
from lorafleet.console.objects.stores import COPIES
from lorafleet.contracts import layout, paths
from lorafleet.contracts.jobs import (
    MAX_FILES,
    MAX_GRANTS,
    AttemptSecrets,
    AttemptToken,
    CheckpointPublished,
    DatasetFiles,
    DatasetRequest,
    Enrolment,
    GrantRequest,
    Grants,
    Head,
    Heartbeat,
    HeartbeatReply,
    Job,
    Lease,
    LeaseRequest,
    LogLines,
    Method,
    ObjectGrant,
    Outcome,
    Progress,
    PublishedObject,
    SamplePublished,
    SecretsRequest,
)
from lorafleet.contracts.outcomes import OutcomeClass
from lorafleet.contracts.problems import StorageError

router = APIRouter(tags=["worker"])

GRANT_LIFETIME = timedelta(hours=1)


@router.post(paths.ENROL)
def enrol(body: Enrolment, here: Here) -> AttemptToken:
    """Exchange a site's credential for a token of one attempt."""
    text, expires_at = here.ledger.access.enrol(
        body.site, body.worker, body.credential.get_secret_value(), here.settings.attempt_token_lifetime
    )
    return AttemptToken(token=text, expires_at=expires_at)


@router.post(paths.LEASE, responses={204: {"description": "There was no job in time."}})
async def lease(request: Request, body: LeaseRequest, worker: Worker, here: Here) -> Lease:
    """Wait for a job."""
    if (worker.site, worker.worker) != (body.site, body.worker):
        raise Forbidden("this token belongs to another worker")
    if worker.job is not None:
        raise Unauthorized("this token has led to a lease already", hint="exchange the site's credential for a new one")
    await run_in_threadpool(here.ledger.dispatcher.lose_not_begun, body.site, body.worker)
    leased = await _wait_for_lease(request, body, here)
    if leased is None:
        return Response(status_code=204)  # type: ignore[return-value]
    reach(Failpoint.LEASE_COMMITTED)
    job, fence, deadline = leased
    await run_in_threadpool(here.ledger.access.bind, worker.token, job.id, fence)
    reach(Failpoint.LEASE_BOUND)
    grants = await run_in_threadpool(_first_grants, here, body.site, job)
    return Lease(job=job, fence=fence, grants=grants, deadline=deadline, heartbeat_seconds=here.settings.heartbeat_seconds)


@router.post(paths.HEARTBEAT)
def heartbeat(body: Heartbeat, worker: Worker, here: Here) -> HeartbeatReply:
    """Keep the lease, and hear what to do."""
    same_attempt(worker, body)
    reply = here.ledger.dispatcher.heartbeat(body, here.settings.lease_lifetime)
    reach(Failpoint.HEARTBEAT_COMMITTED)
    return reply


@router.post(paths.PROGRESS, status_code=204)
async def progress(body: Progress, worker: Worker, here: Here) -> None:
    """Say how far the training is."""
    same_attempt(worker, body)
    await here.progress(body)


@router.post(paths.SAMPLE, status_code=204)
def sample(body: SamplePublished, worker: Worker, here: Here) -> None:
    """Say that a sample is in the store; one good copy is enough to show it."""
    same_attempt(worker, body)
    here.ledger.dispatcher.holds(body.job, body.fence)
    _in_stores(here, (body.object,), 1)
    here.ledger.dispatcher.sample(body)


@router.post(paths.LOG, status_code=204)
def log(body: LogLines, worker: Worker, here: Here) -> None:
    """Hand over what the training process wrote."""
    same_attempt(worker, body)
    here.ledger.dispatcher.log(redacted_log(body))


@router.post(paths.CHECKPOINT, status_code=204)
def checkpoint(body: CheckpointPublished, worker: Worker, here: Here) -> None:
    """Publish a checkpoint: verified in two stores, then one fenced row, then the copy of that row in the stores."""
    same_attempt(worker, body)
    # A worker that lost its lease is told so before the stores are read.
    job = here.ledger.dispatcher.leased(body.job, body.fence)
    known = {(row.fence, row.step): row.stores for row in here.ledger.jobs.checkpoints(job.team, job.id)}
    # Reading back takes long, and a worker whose first message was answered too late says the same again.
    verified = known.get((body.fence, body.step)) or _in_stores(here, body.objects, COPIES)
    reach(Failpoint.CHECKPOINT_VERIFIED)
    record = here.ledger.dispatcher.checkpoint(body.model_copy(update={"stores": verified}))
    reach(Failpoint.CHECKPOINT_COMMITTED)
    head = Head(**body.model_dump(exclude={"stores"}), stores=record.stores, updated_at=record.published_at)
    here.stores.write_head(body.job, head)


@router.post(paths.GRANTS)
def grants(body: GrantRequest, worker: Worker, here: Here) -> Grants:
    """Give leave to read what the job needs, or to write below the attempt's own prefixes."""
    same_attempt(worker, body)
    here.ledger.dispatcher.holds(body.job, body.fence)
    near = _store_of(here, worker.site)
    if body.method is Method.PUT:
        _only_own(body)
        given = here.stores.grants_to_write(near, body.objects, GRANT_LIFETIME)
    else:
        _only_readable(here, body)
        given = here.stores.grants_to_read(near, [item.key for item in body.objects], GRANT_LIFETIME)
    return Grants(job=body.job, fence=body.fence, grants=given[:MAX_GRANTS])


@router.post(paths.DATASET)
def dataset(body: DatasetRequest, worker: Worker, here: Here) -> DatasetFiles:
    """Name the files of the job's data set version, by key."""
    same_attempt(worker, body)
    job = here.ledger.dispatcher.leased(body.job, body.fence)
    files = [item for item in _dataset_files(here, job) if body.after is None or item.key > body.after]
    return DatasetFiles(job=body.job, fence=body.fence, files=tuple(files[:MAX_FILES]), more=len(files) > MAX_FILES)


@router.post(paths.SECRETS)
def secrets(body: SecretsRequest, worker: Worker, here: Here) -> AttemptSecrets:
    """Give the attempt that holds the lease what its job's team keeps for its training processes."""
    same_attempt(worker, body)
    found = here.secrets.opened(here.ledger.dispatcher.leased(body.job, body.fence).team)
    return AttemptSecrets(job=body.job, fence=body.fence, secrets=dict(found.values), unreadable=found.unreadable)


@router.post(paths.OUTCOME, status_code=204)
def outcome(body: Outcome, worker: Worker, here: Here) -> None:
    """End the attempt. A success is believed once every finished file is verified in two stores."""
    same_attempt(worker, body)
    if body.outcome is OutcomeClass.SUCCEEDED and not body.outputs:
        raise Unprocessable("an attempt that succeeded has finished files", where="outputs")
    verified = _in_stores(here, body.outputs, COPIES) if body.outcome is OutcomeClass.SUCCEEDED else ()
    reach(Failpoint.OUTCOME_VERIFIED)
    here.ledger.dispatcher.outcome(redacted_outcome(body), verified)
    reach(Failpoint.OUTCOME_COMMITTED)


async def _wait_for_lease(request: Request, body: LeaseRequest, here: Services) -> Leased | None:
    loop = asyncio.get_running_loop()
    end = loop.time() + body.wait_seconds
    while True:
        ticket = here.work.ticket()
        if await request.is_disconnected():
            # A lease for a worker that has gone would hold the job up until its deadline.
            return None
        leased = await here.lease(body)
        left = end - loop.time()
        if leased is not None or left <= 0 or here.work.closed:
            return leased
        # Jobs that another console took in, and leases that ran out, are found by looking.
        await here.work.wait(ticket, min(left, here.settings.poll_seconds))


def _first_grants(here: Services, site: str, job: Job) -> tuple[ObjectGrant, ...]:
    """Grants to read the checkpoint that the job goes on from; the data set's files are asked for by the worker."""
    if job.resume is None:
        return ()
    keys = [item.key for item in job.resume.objects]
    try:
        return here.stores.grants_to_read(_store_of(here, site), keys, GRANT_LIFETIME)[:MAX_GRANTS]
    except StorageError:
        # The lease stands; the worker asks again, and stores come back.
        return ()


def _in_stores(here: Services, objects: Sequence[PublishedObject], copies: int) -> tuple[str, ...]:
    verified = here.stores.verify(objects)
    if len(verified) < copies:
        reachable = len(here.stores.reachable())
        if reachable < copies:
            raise StorageError(
                f"{reachable} stores answer, and {copies} must hold the objects", hint="send the message again later"
            )
        raise Unprocessable(
            f"{len(verified)} of the {copies} stores that are needed hold every object in this size and with this SHA-256",
            where="objects",
            hint="write them again to both stores",
        )
    return verified


def _only_own(body: GrantRequest) -> None:
    own = (
        layout.attempt_prefix(body.job, body.fence),
        layout.sample_object(body.job, body.fence, 0, "x").removesuffix("step-0/x"),
        layout.output_object(body.job, body.fence, "x").removesuffix("x"),
    )
    for item in body.objects:
        layout.checked_key(item.key)
        if not item.key.startswith(own):
            raise Forbidden("an attempt writes below its own prefixes only", where=item.key)


def _only_readable(here: Services, body: GrantRequest) -> None:
    job = here.ledger.dispatcher.leased(body.job, body.fence)
    readable = {item.key for item in _dataset_files(here, job)}
    if any(item.key not in readable for item in body.objects):
        for origin in filter(None, (job.id, job.continue_from)):
            readable |= {item.key for row in here.ledger.jobs.checkpoints(job.team, origin) for item in row.objects}
    for item in body.objects:
        if item.key not in readable:
            raise Forbidden("an attempt reads its job's data set and checkpoints", where=item.key)


def _dataset_files(here: Services, job: JobRecord) -> list[PublishedObject]:
    record = here.ledger.datasets.version(job.team, job.dataset, job.version)
    return sorted(record.files, key=lambda item: item.key)


def _store_of(here: Services, site: str) -> str:
    return next((row.store for row in here.ledger.dispatcher.sites() if row.name == site), "")
