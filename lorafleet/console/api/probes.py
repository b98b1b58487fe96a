"""What a candidate release trains where people's jobs are few."""

from fastapi import APIRouter, Response

from lorafleet.console.api.auth import FleetReleaser
from lorafleet.console.api.services import Here
from lorafleet.console.domain.refusals import Conflict
from lorafleet.console.domain.requests import again, submission
from lorafleet.contracts import paths
from lorafleet.contracts.console_api import ProbeJob
from lorafleet.contracts.job_states import JobState

router = APIRouter(prefix=f"{paths.API}/probe", tags=["releases"])


@router.put("", status_code=204)
def choose(body: ProbeJob, principal: FleetReleaser, here: Here) -> Response:
    """Take a job that ended well as the probe: candidates repeat it until they have ``min_samples``."""
    job = here.ledger.jobs.get(principal.team, body.job)
    if job.state is not JobState.SUCCEEDED:
        raise Conflict(f"job {job.id} is {job.state}", hint="a probe is a job that ended well and takes seconds")
    request = again(job, name="probe")
    here.ledger.releases.set_probe_template(principal.team, submission(request, job.version, job.continue_step))
    here.ledger.access.record(principal.team, principal.subject, "probe.choose", job.id, {})
    return Response(status_code=204)


@router.delete("", status_code=204)
def drop(principal: FleetReleaser, here: Here) -> Response:
    """No more probes: too few jobs of people then mean that a candidate is not promoted."""
    here.ledger.releases.set_probe_template(principal.team, None)
    here.ledger.access.record(principal.team, principal.subject, "probe.drop", "", {})
    return Response(status_code=204)
