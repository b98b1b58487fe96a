"""Logging in and out: a one-time token of the first address, or any token of one's own, for a cookie."""

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from lorafleet.console.api.auth import cookie_name
from lorafleet.console.api.services import Here, Services
from lorafleet.console.domain.records import Principal, Role
from lorafleet.console.domain.refusals import Forbidden, Unauthorized

router = APIRouter(tags=["sessions"], include_in_schema=False)

LOGIN = "/login"
TokenText = Annotated[str, Form(min_length=1, max_length=500)]


@router.get(f"{LOGIN}/once")
def log_in_once(here: Here, token: Annotated[str, Query(min_length=1, max_length=200)]) -> Response:
    """Use the one-time token of the console's first address."""
    if not here.logins.redeem(token):
        raise Unauthorized("this address was used before or is too old", hint="start the console again for a new one")
    return _opened(here, Principal("first address", here.settings.team, Role.ADMIN))


@router.post(LOGIN)
def log_in(here: Here, token: TokenText) -> Response:
    """Open a session with a token of one's own."""
    principal = here.ledger.access.principal(token.strip())
    if principal.release is not None:
        raise Forbidden("this token is good for its own release's addresses only")
    return _opened(here, principal)


@router.post("/logout")
def log_out(request: Request, here: Here) -> Response:
    """End the session; its token is good no more."""
    text = request.cookies.get(cookie_name(here.settings))
    response = RedirectResponse(LOGIN, status_code=303)
    if text is not None:
        principal = here.ledger.access.principal(text)
        here.ledger.access.revoke_token(principal.team, principal.token, principal.subject)
    response.delete_cookie(cookie_name(here.settings), path="/", secure=here.settings.https, httponly=True, samesite="lax")
    return response


def _opened(here: Services, principal: Principal) -> Response:
    _, text = here.ledger.access.create_token(
        principal.team, "browser session", principal.role, principal.subject, here.settings.session_lifetime
    )
    response = RedirectResponse("/", status_code=303)
    response.set_cookie(
        cookie_name(here.settings),
        text,
        max_age=int(here.settings.session_lifetime.total_seconds()),
        path="/",
        secure=here.settings.https,
        httponly=True,
        samesite="lax",
    )
    return response
