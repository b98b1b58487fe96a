"""Logging in and out: a one-time token of the first address, or any token of one's own, for a cookie."""

from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from lorafleet.console.api.auth import cookie_name
from lorafleet.console.api.services import Here, Services
from lorafleet.console.domain.records import Role
from lorafleet.console.domain.refusals import Forbidden, Unauthorized

router = APIRouter(tags=["sessions"], include_in_schema=False)

LOGIN = "/login"
SESSION = "browser session of "
"""How the tokens of sessions are called, before whom they are of."""
TokenText = Annotated[str, Form(min_length=1, max_length=500)]


@router.get(f"{LOGIN}/once")
def log_in_once(here: Here, token: Annotated[str, Query(min_length=1, max_length=200)]) -> Response:
    """Use the one-time token of the console's first address."""
    if not here.logins.redeem(token):
        raise Unauthorized("this address was used before or is too old", hint="start the console again for a new one")
    lifetime = here.settings.session_lifetime
    _, text = here.ledger.access.create_token(here.settings.team, f"{SESSION}first address", Role.ADMIN, "first address", lifetime)
    return open_session(here, text)


@router.post(LOGIN)
def log_in(here: Here, token: TokenText) -> Response:
    """Open a session with a token of one's own."""
    text = token.strip()
    if here.ledger.access.principal(text).release is not None:
        raise Forbidden("this token is good for its own release's addresses only")
    # The token itself, so that the session ends with it, whether it expires or is revoked.
    return open_session(here, text)


@router.post("/logout")
def log_out(request: Request, here: Here) -> Response:
    """End the session. A token that was made for it alone is good no more; one of one's own stays good elsewhere."""
    text = request.cookies.get(cookie_name(here.settings))
    response = RedirectResponse(LOGIN, status_code=303)
    if text is not None:
        with suppress(Unauthorized):
            principal = here.ledger.access.principal(text)
            if principal.subject.startswith(f"token:{SESSION}"):
                here.ledger.access.revoke_token(principal.team, principal.token, principal.subject)
    response.delete_cookie(cookie_name(here.settings), path="/", secure=here.settings.https, httponly=True, samesite="lax")
    return response


def open_session(here: Services, text: str) -> Response:
    """Give the browser a token as the cookie of its session."""
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
