"""Releases, as pipelines, CI and people handle them. See :mod:`lorafleet.contracts.paths` for what each address does.

A 4xx ends a stage of Orca at once, so that one is given only where trying again cannot help.
"""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.concurrency import run_in_threadpool

from lorafleet.console.api.auth import FleetReleaser, ReleaseReader, Viewer, allowed
from lorafleet.console.api.parameters import After, Limit, ReleaseId, SiteName, WatchId
from lorafleet.console.api.services import Here, Services
from lorafleet.console.domain.records import Principal, Role
from lorafleet.console.domain.redaction import printable
from lorafleet.console.domain.refusals import Conflict, NotFound, Unauthorized
from lorafleet.contracts import paths
from lorafleet.contracts.console_api import PageOf
from lorafleet.contracts.jobs import DesiredWorkers
from lorafleet.contracts.release import Breach, ReleaseState, Verdict
from lorafleet.contracts.release_api import (
    FaultReport,
    Registered,
    Registration,
    ReleaseView,
    Revocation,
    ShareStep,
    StageAnswer,
    StageStatus,
    Watch,
)

router = APIRouter(tags=["releases"])

TOKEN_LIFETIME = timedelta(days=7)
"""Approvals may take days; the token is no longer good an hour after its release has ended."""

AFTER_THE_END = timedelta(hours=1)
_ENDED = frozenset({ReleaseState.STABLE, ReleaseState.ROLLED_BACK, ReleaseState.RETIRED})


def _living_token(principal: ReleaseReader, release_id: ReleaseId, here: Here) -> Principal:
    if principal.release is not None:
        view = here.ledger.releases.get(release_id)
        if view.release.state in _ENDED and here.ledger.now() - view.updated_at > AFTER_THE_END:
            raise Unauthorized("this token's release has ended")
    return principal


def _acting(principal: Annotated[Principal, Depends(_living_token)], here: Here) -> Principal:
    return principal if principal.release is not None else allowed(principal, Role.RELEASER, here.settings)


Reader = Annotated[Principal, Depends(_living_token)]
Scoped = Annotated[Principal, Depends(_acting)]

# Orca reads a missing key as none, but a null as text.
STAGE: dict[str, Any] = {"response_model_exclude_none": True}


@router.post(paths.RELEASES, status_code=201)
def register(body: Registration, principal: FleetReleaser, here: Here) -> Registered:
    """Announce a release and get the token that its pipeline uses."""
    view = here.ledger.releases.register(body, principal.subject)
    record, text = here.ledger.access.create_token(
        principal.team, f"release {view.id}", Role.RELEASER, principal.subject, TOKEN_LIFETIME, release=view.id
    )
    return Registered(release=view.id, token=text, expires_at=record.expires_at or here.ledger.now() + TOKEN_LIFETIME)


@router.get(paths.RELEASES)
def list_releases(_: Viewer, here: Here, after: After = None, limit: Limit = 50) -> PageOf[ReleaseView]:
    """Releases, newest first."""
    page = here.ledger.releases.page(after, limit)
    return PageOf[ReleaseView](rows=tuple(page.rows), after=page.after)


@router.get(paths.release("{release_id}"))
def get_release(release_id: ReleaseId, _: Reader, here: Here) -> ReleaseView:
    """One release."""
    return here.ledger.releases.get(release_id)


@router.post(paths.preflight("{release_id}"), **STAGE)
async def start_preflight(release_id: ReleaseId, _: Scoped, here: Here) -> StageAnswer:
    """Start the checks that hold for all sites."""
    view = await run_in_threadpool(here.ledger.releases.get, release_id)
    return here.preflights.answer(view, None, anew=True)


@router.get(paths.preflight("{release_id}"), **STAGE)
async def poll_preflight(release_id: ReleaseId, _: Scoped, here: Here) -> StageAnswer:
    """How they stand."""
    view = await run_in_threadpool(here.ledger.releases.get, release_id)
    return here.preflights.answer(view, None)


@router.post(paths.site_preflight("{release_id}", "{site}"), **STAGE)
async def start_site_preflight(release_id: ReleaseId, site: SiteName, _: Scoped, here: Here) -> StageAnswer:
    """Start one site's checks."""
    view = await run_in_threadpool(_with_site, here, release_id, site)
    return here.preflights.answer(view, site, anew=True)


@router.get(paths.site_preflight("{release_id}", "{site}"), **STAGE)
async def poll_site_preflight(release_id: ReleaseId, site: SiteName, _: Scoped, here: Here) -> StageAnswer:
    """How they stand."""
    view = await run_in_threadpool(_with_site, here, release_id, site)
    return here.preflights.answer(view, site)


@router.put(paths.share("{release_id}", "{site}"), **STAGE)
def set_share(release_id: ReleaseId, site: SiteName, body: ShareStep, principal: Scoped, here: Here) -> StageAnswer:
    """Give the release a step of the site's schedule."""
    _with_site(here, release_id, site)
    view = here.ledger.releases.set_share(release_id, site, body.step)
    _audit(here, principal, "release.share", release_id, site=site, step=body.step)
    here.work.ring()
    return _passed(f"{site}: share {view.release.share(site)}")


@router.post(paths.watches("{release_id}", "{site}"), **STAGE)
def start_watch(release_id: ReleaseId, site: SiteName, body: Watch, _: Scoped, here: Here) -> StageAnswer:
    """Watch the release in a site; the answer says where to poll."""
    _with_site(here, release_id, site)
    watch_id = here.ledger.releases.start_watch(release_id, site, body)
    url = here.settings.public_url.rstrip("/") + paths.watch(release_id, site, watch_id)
    return StageAnswer(status=StageStatus.RUNNING, detail=f"{site}: watching", status_url=url)


@router.get(paths.watch("{release_id}", "{site}", "{watch_id}"), **STAGE)
def poll_watch(release_id: ReleaseId, site: SiteName, watch_id: WatchId, _: Scoped, here: Here) -> StageAnswer:
    """How a watch stands."""
    return here.ledger.releases.watch(release_id, site, watch_id)


@router.post(paths.fault("{release_id}", "{site}"), **STAGE)
def report_fault(release_id: ReleaseId, site: SiteName, body: FaultReport, principal: Scoped, here: Here) -> StageAnswer:
    """The image cannot train in a site: the release is taken back everywhere."""
    _with_site(here, release_id, site)
    reason = f"{site}: {body.fault}" + (f": {printable(body.detail)}" if body.detail else "")
    here.ledger.releases.breach(release_id, [Breach(site=site, at=here.ledger.now(), fault=body.fault)], reason)
    _audit(here, principal, "release.fault", release_id, site=site, fault=body.fault.value)
    here.work.ring()
    return _passed(f"taken back: {reason}")


@router.post(paths.promote("{release_id}"), **STAGE)
def promote(release_id: ReleaseId, principal: Scoped, here: Here) -> StageAnswer:
    """Let the release have all requests. 409 where it may not: the stage that asks does not read the status."""
    answer = here.ledger.releases.promote(release_id, principal.subject)
    here.work.ring()
    return _done(release_id, answer)


@router.post(paths.settle("{release_id}"), **STAGE)
def settle(release_id: ReleaseId, principal: Scoped, here: Here) -> StageAnswer:
    """The promotion holds: the release is the stable one, and leases of the old one drain. 409 where it is not promoted."""
    answer = here.ledger.releases.settle(release_id, principal.subject)
    here.work.ring()
    return _done(release_id, answer)


@router.get(paths.settle("{release_id}"), **STAGE)
def poll_settle(release_id: ReleaseId, _: Scoped, here: Here) -> StageAnswer:
    """Whether leases of the old release are left."""
    view = here.ledger.releases.get(release_id)
    if view.release.state is ReleaseState.STABLE:
        return _passed("no lease of the old release is left")
    if view.release.state is not ReleaseState.PROMOTING:
        return StageAnswer(status=StageStatus.FAIL, detail=f"the release is {view.release.state}")
    return StageAnswer(status=StageStatus.RUNNING, detail="leases of the old release drain")


@router.post(paths.revoke("{release_id}"), **STAGE)
def revoke(release_id: ReleaseId, body: Revocation, principal: Scoped, here: Here) -> StageAnswer:
    """Take the release back everywhere."""
    here.ledger.releases.revoke(release_id, printable(body.reason), principal.subject)
    here.work.ring()
    return _passed("share 0% in every site, leases taken back")


@router.get(paths.verdict("{release_id}"))
def verdict(release_id: ReleaseId, _: Reader, here: Here) -> Verdict:
    """What the guard says."""
    return here.ledger.releases.verdict(release_id)


@router.get(paths.desired_workers("{release_id}"))
def desired_workers(release_id: ReleaseId, _: Reader, here: Here) -> list[DesiredWorkers]:
    """How many workers of the release each site should run now."""
    digest = here.ledger.releases.get(release_id).release.digest
    return [wanted for wanted in here.ledger.dispatcher.desired_workers() if wanted.release == digest]


def _with_site(here: Services, release_id: str, site: str) -> ReleaseView:
    view = here.ledger.releases.get(release_id)
    if site not in {goes.site for goes in view.release.sites}:
        raise NotFound(f"release {release_id} does not go to a site '{site}'")
    return view


def _done(release_id: str, answer: StageAnswer) -> StageAnswer:
    if answer.status is StageStatus.FAIL:
        raise Conflict(f"release {release_id}: {answer.detail}")
    return answer


def _passed(detail: str) -> StageAnswer:
    return StageAnswer(status=StageStatus.PASS, detail=detail)


def _audit(here: Services, principal: Principal, action: str, target: str, **values: object) -> None:
    here.ledger.access.record(principal.team, principal.subject, action, target, values)
