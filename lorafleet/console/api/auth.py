"""Who asks, and what they may do: dependencies for people, pipelines and workers.

A person comes with a bearer token or with the cookie of a session, which holds a token too. A token of one release reaches that
release's addresses and nothing else.
"""

from typing import Annotated

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from lorafleet.console.api.parameters import ReleaseId
from lorafleet.console.api.services import Here, Services
from lorafleet.console.domain.records import AttemptPrincipal, Principal, Role
from lorafleet.console.domain.refusals import Forbidden, Unauthorized
from lorafleet.console.settings import Auth, Settings
from lorafleet.contracts.jobs import AttemptMessage

_RANK = list(Role)


def cookie_name(settings: Settings) -> str:
    """The session cookie's name; over https the prefix makes browsers hold it to this very host."""
    return "__Host-lorafleet" if settings.https else "lorafleet"


def credential(request: Request, settings: Settings) -> str | None:
    """The token that a request brings, by header or by cookie."""
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and text.strip():
        return text.strip()
    return request.cookies.get(cookie_name(settings))


async def _anyone(request: Request, here: Services) -> Principal:
    if here.settings.auth is Auth.NONE:
        return Principal("local", here.settings.team, Role.ADMIN)
    text = credential(request, here.settings)
    if text is None:
        raise Unauthorized("a token is needed", hint="send 'Authorization: Bearer …', or log in")
    return await run_in_threadpool(here.ledger.access.principal, text)


async def current_principal(request: Request, here: Here) -> Principal:
    """Dependency: the person or machine that asks.

    Raises:
        Unauthorized: no token, or one that is not good.
        Forbidden: the token is limited to a release.
    """
    principal = await _anyone(request, here)
    if principal.release is not None:
        raise Forbidden("this token is good for its own release's addresses only")
    return principal


CurrentPrincipal = Annotated[Principal, Depends(current_principal)]


class Needs:
    """Dependency: the principal, with at least this role in its team; ``fleet`` asks for the team that runs the fleet."""

    def __init__(self, role: Role, *, fleet: bool = False) -> None:
        self._role = role
        self._fleet = fleet

    def __call__(self, principal: CurrentPrincipal, here: Here) -> Principal:
        """Raise Forbidden, or give the principal out."""
        return allowed(principal, self._role, here.settings if self._fleet else None)


def allowed(principal: Principal, role: Role, fleet: Settings | None = None) -> Principal:
    """The principal, if it has the role.

    Raises:
        Forbidden: it has not.
    """
    if _RANK.index(principal.role) < _RANK.index(role):
        raise Forbidden(f"this needs the role {role}, and {principal.subject} is a {principal.role}")
    if fleet is not None and principal.team != fleet.team:
        raise Forbidden(f"this concerns all teams; only team '{fleet.team}' runs the fleet")
    return principal


Viewer = Annotated[Principal, Depends(Needs(Role.VIEWER))]
Trainer = Annotated[Principal, Depends(Needs(Role.TRAINER))]
Admin = Annotated[Principal, Depends(Needs(Role.ADMIN))]
FleetReleaser = Annotated[Principal, Depends(Needs(Role.RELEASER, fleet=True))]
FleetAdmin = Annotated[Principal, Depends(Needs(Role.ADMIN, fleet=True))]


async def release_reader(request: Request, release_id: ReleaseId, here: Here) -> Principal:
    """Dependency: anybody of any team, since releases concern all, or the token of this very release.

    Raises:
        Unauthorized: no token, or one that is not good.
        Forbidden: a token of another release.
    """
    principal = await _anyone(request, here)
    if principal.release not in (None, release_id):
        raise Forbidden("this token is good for its own release's addresses only")
    return principal


ReleaseReader = Annotated[Principal, Depends(release_reader)]


async def attempt_principal(request: Request, here: Here) -> AttemptPrincipal:
    """Dependency: a worker with an attempt token.

    Raises:
        Unauthorized: no token, or one that is not good (any more).
    """
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not text.strip():
        raise Unauthorized("an attempt token is needed", hint="exchange the site's credential for one")
    return await run_in_threadpool(here.ledger.access.attempt_principal, text.strip())


Worker = Annotated[AttemptPrincipal, Depends(attempt_principal)]


def same_attempt(worker: AttemptPrincipal, message: AttemptMessage) -> None:
    """Refuse a message of another attempt than the token's.

    Raises:
        Forbidden: the token is bound to another job or fence, or to none yet.
    """
    if (worker.job, worker.fence) != (message.job, message.fence):
        raise Forbidden("this token belongs to another attempt")
