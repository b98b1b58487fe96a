"""Sites, workers, and how many workers there should be. The fleet is common to all teams."""

from dataclasses import replace

from fastapi import APIRouter

from lorafleet.console.api.auth import FleetAdmin, Viewer
from lorafleet.console.api.parameters import SiteName, TeamName
from lorafleet.console.api.services import Here, Services
from lorafleet.console.api.views import site_view, worker_view
from lorafleet.console.domain.records import Principal, SiteRecord, WorkerRecord
from lorafleet.console.domain.refusals import NotFound
from lorafleet.contracts import paths
from lorafleet.contracts.console_api import EnrolmentMade, NewQuota, QuotaView, SiteChange, SiteView, WorkerView
from lorafleet.contracts.jobs import DesiredWorkers

router = APIRouter(prefix=paths.API, tags=["fleet"])


@router.get("/sites")
def sites(_: Viewer, here: Here) -> list[SiteView]:
    """Every site."""
    return [site_view(row) for row in here.ledger.dispatcher.sites()]


@router.patch("/sites/{site}")
def change_site(site: SiteName, body: SiteChange, principal: FleetAdmin, here: Here) -> SiteView:
    """Pause a site, or let it go on."""
    changed = replace(_site(here, site), paused=body.paused)
    here.ledger.dispatcher.put_site(changed)
    here.ledger.access.record(principal.team, principal.subject, "site.pause", site, {"paused": body.paused})
    here.work.ring()
    return site_view(changed)


@router.post("/sites/{site}/enrolment", status_code=201)
def enrolment(site: SiteName, principal: FleetAdmin, here: Here) -> EnrolmentMade:
    """A new credential for a site's workers."""
    _site(here, site)
    text = here.ledger.access.put_enrolment(site)
    here.ledger.access.record(principal.team, principal.subject, "site.enrolment", site, {})
    return EnrolmentMade(site=site, credential=text)


@router.get("/workers")
def workers(principal: Viewer, here: Here) -> list[WorkerView]:
    """Workers that were heard of lately. Another team's job is not named."""
    return [worker_view(_without_others(row, principal, here)) for row in here.ledger.dispatcher.workers()]


@router.get("/quotas/{team}")
def quota(team: TeamName, _: FleetAdmin, here: Here) -> QuotaView:
    """How many jobs of a team may run at once."""
    return QuotaView(team=team, max_running=here.ledger.dispatcher.quota(team))


@router.put("/quotas/{team}")
def set_quota(team: TeamName, body: NewQuota, principal: FleetAdmin, here: Here) -> QuotaView:
    """Limit how many jobs of a team run at once. Those that run go on; the others wait and say why."""
    here.ledger.dispatcher.set_quota(team, body.max_running)
    here.ledger.access.record(principal.team, principal.subject, "team.quota", team, {"max_running": body.max_running})
    here.work.ring()
    return QuotaView(team=team, max_running=body.max_running)


@router.get("/desired-workers")
def desired_workers(_: Viewer, here: Here) -> list[DesiredWorkers]:
    """How many workers of which release each site should run now."""
    return list(here.ledger.dispatcher.desired_workers())


def _without_others(row: WorkerRecord, principal: Principal, here: Services) -> WorkerRecord:
    if row.job is not None:
        try:
            here.ledger.jobs.get(principal.team, row.job)
        except NotFound:
            return replace(row, job=None)
    return row


def _site(here: Services, name: str) -> SiteRecord:
    for row in here.ledger.dispatcher.sites():
        if row.name == name:
            return row
    raise NotFound(f"there is no site '{name}'")
