"""Language and theme, kept in cookies for a year; and the page to log in on."""

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Request, Response
from starlette.responses import RedirectResponse

from lorafleet.console.api.services import Here
from lorafleet.console.api.sessions import LOGIN
from lorafleet.console.web.language import NAMES
from lorafleet.console.web.rendering import LANGUAGE_COOKIE, NOTICE_COOKIE, THEME_COOKIE, THEMES, Looks, page

router = APIRouter(include_in_schema=False)

_YEAR = 365 * 86_400


@router.get(LOGIN)
def login_page(looks: Looks, here: Here) -> Response:
    """Where a token is asked for, or the provider's link is."""
    return page("login.html", looks, None, {"failed": False, "detail": "", "provider": here.oidc})


@router.post("/preferences")
def prefer(
    request: Request,
    here: Here,
    language: Annotated[str, Form(max_length=10)] = "",
    theme: Annotated[str, Form(max_length=10)] = "",
    back: Annotated[str, Form(max_length=2000)] = "/",
) -> Response:
    """Remember a language or a theme."""
    response = RedirectResponse(own_path(back), status_code=303)
    if language in NAMES:
        _remember(response, LANGUAGE_COOKIE, language, here.settings.https)
    if theme in THEMES:
        _remember(response, THEME_COOKIE, theme, here.settings.https)
    return response


def own_path(text: str) -> str:
    """A path of this console with its query, or ``/`` for anything that leads elsewhere."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return "/"
    if parts.scheme or parts.netloc or not text.startswith("/") or text.startswith(("//", "/\\")) or not text.isprintable():
        return "/"
    return text


def done(path: str, notice: str = "") -> Response:
    """Go to a page after something was done, and say there what it was."""
    response = RedirectResponse(path, status_code=303)
    if notice:
        response.set_cookie(NOTICE_COOKIE, notice, max_age=60, path="/", httponly=True, samesite="lax")
    return response


def _remember(response: Response, name: str, value: str, https: bool) -> None:
    response.set_cookie(name, value, max_age=_YEAR, path="/", secure=https, httponly=True, samesite="lax")
