"""Logging in with a provider, for the same session as with a token."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from lorafleet.console.api.services import Here, Services
from lorafleet.console.api.sessions import LOGIN, SESSION, open_session
from lorafleet.console.domain.refusals import NotFound
from lorafleet.console.oidc.login import LOGIN_SECONDS, Callback, OidcLogin
from lorafleet.console.settings import OIDC_CALLBACK, Settings

router = APIRouter(tags=["sessions"], include_in_schema=False)

OIDC = f"{LOGIN}/oidc"
Word = Annotated[str, Query(max_length=200, pattern=r"^[\x20-\x7e]*$")]


@router.get(OIDC)
def begin(here: Here) -> Response:
    """Send the browser to the provider."""
    url, cookie = _login(here).begin()
    response = RedirectResponse(url, status_code=303)
    response.set_cookie(
        _cookie_name(here.settings),
        cookie,
        max_age=LOGIN_SECONDS,
        path="/",
        secure=here.settings.https,
        httponly=True,
        samesite="lax",
    )
    return response


@router.get(OIDC_CALLBACK)
def finish(
    request: Request,
    here: Here,
    state: Word = "",
    code: Annotated[str, Query(max_length=4000)] = "",
    error: Word = "",
    iss: Annotated[str, Query(max_length=1000)] = "",
) -> Response:
    """Open the session of whom the provider vouches for. Team and role are read anew at each login."""
    login = _login(here)
    cookie = request.cookies.get(_cookie_name(here.settings), "")
    identity, member = login.finish(cookie, Callback(state, code, error, iss))
    lifetime = here.settings.session_lifetime
    if login.ends_with_id_token:
        lifetime = min(lifetime, identity.ends_at - datetime.now(UTC))
    name = f"{SESSION}{identity.name}"
    _, text = here.ledger.access.create_token(member.team, name, member.role, f"oidc:{identity.subject}"[:200], lifetime)
    response = open_session(here, text)
    response.delete_cookie(_cookie_name(here.settings), path="/", secure=here.settings.https, httponly=True, samesite="lax")
    return response


def _login(here: Services) -> OidcLogin:
    if here.oidc is None:
        raise NotFound("this console has no provider to log in with", hint="start it with --oidc FILE")
    return here.oidc


def _cookie_name(settings: Settings) -> str:
    return "__Host-lorafleet-login" if settings.https else "lorafleet_login"
