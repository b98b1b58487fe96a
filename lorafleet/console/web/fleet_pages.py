"""The fleet: sites, workers, and releases with their share and verdict."""

from typing import Annotated

from fastapi import APIRouter, Form, Response

from lorafleet.console.api import fleet as api
from lorafleet.console.api import releases
from lorafleet.console.api.auth import FleetAdmin, FleetReleaser, Viewer
from lorafleet.console.api.parameters import After, ReleaseId, SiteName
from lorafleet.console.api.services import Here, Services
from lorafleet.console.domain.records import Principal, Role
from lorafleet.console.web import fleet_view as view
from lorafleet.console.web.preferences import done
from lorafleet.console.web.rendering import Look, Looks, fragment, may, page
from lorafleet.contracts.console_api import SiteChange
from lorafleet.contracts.release_api import Revocation

router = APIRouter(include_in_schema=False)

_PAGE = 10


@router.get("/fleet")
def fleet(looks: Looks, principal: Viewer, here: Here, after: After = None) -> Response:
    """Sites, workers and releases."""
    return page("fleet.html", looks, principal, _values(looks, principal, here, after))


@router.get("/fleet/live")
def live(looks: Looks, principal: Viewer, here: Here, after: After = None) -> Response:
    """The same without the page around it, which asks again every few seconds."""
    return fragment("fleet_live.html", looks, _values(looks, principal, here, after))


@router.post("/fleet/releases/{release_id}/revoke")
def roll_back(
    release_id: ReleaseId, principal: FleetReleaser, here: Here, reason: Annotated[str, Form(max_length=500)] = ""
) -> Response:
    """Take a release back everywhere."""
    releases.revoke(release_id, Revocation(reason=reason or f"taken back by {principal.subject}"), principal, here)
    return done("/fleet", "rolled_back")


@router.post("/fleet/sites/{site}/pause")
def pause(site: SiteName, principal: FleetAdmin, here: Here, paused: Annotated[bool, Form()]) -> Response:
    """Give a site's workers no more jobs, or let them go on."""
    api.change_site(site, SiteChange(paused=paused), principal, here)
    return done("/fleet", "paused" if paused else "resumed")


def _values(looks: Look, principal: Principal, here: Services, after: str | None) -> dict[str, object]:
    words, now = looks.language, here.ledger.now()
    found = here.ledger.releases.page(after, _PAGE)
    dispatcher = here.ledger.dispatcher
    runs_the_fleet = principal.team == here.settings.team
    return {
        "sites": view.site_lines(words, dispatcher.sites(), dispatcher.desired_workers(), now, here.settings.lease_lifetime),
        # Through the API's own function, which does not name another team's job.
        "workers": view.worker_lines(words, api.workers(principal, here), now),
        "releases": view.release_lines(words, found.rows, now),
        "after": found.after,
        "query": f"?after={after}" if after else "",
        "may_release": runs_the_fleet and may(principal, Role.RELEASER),
        "may_admin": runs_the_fleet and may(principal, Role.ADMIN),
    }
