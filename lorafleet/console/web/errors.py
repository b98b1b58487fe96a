"""Refusals as pages, for browsers that ask for a page; programs go on getting ``application/problem+json``."""

from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from lorafleet.console.api import problems
from lorafleet.console.api.auth import current_principal
from lorafleet.console.api.services import services
from lorafleet.console.api.sessions import LOGIN
from lorafleet.console.domain.records import Principal
from lorafleet.console.web.language import Language
from lorafleet.console.web.rendering import look, page
from lorafleet.contracts import paths
from lorafleet.contracts.console_api import ProblemDetails
from lorafleet.contracts.problems import LorafleetError


def install(app: FastAPI) -> None:
    """Answer page requests with pages. Comes after :func:`lorafleet.console.api.problems.install`."""

    @app.exception_handler(LorafleetError)
    async def _own(request: Request, error: LorafleetError) -> Response:
        return await _answer(request, problems.of_error(error))

    @app.exception_handler(RequestValidationError)
    async def _shape(request: Request, error: RequestValidationError) -> Response:
        return await _answer(request, problems.of_validation(error.errors()))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        return await _answer(request, problems.problem(error.status_code, str(error.detail), headers=error.headers))


def wants_page(request: Request) -> bool:
    """Whether a person's browser asks, and not a program or a script of a page."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith(paths.API)


async def _answer(request: Request, plain: Response) -> Response:
    if not wants_page(request):
        return plain
    if plain.status_code == HTTPStatus.UNAUTHORIZED and request.url.path != LOGIN and not request.url.path.startswith(f"{LOGIN}/"):
        if "hx-request" in request.headers:
            return Response(status_code=204, headers={"HX-Redirect": LOGIN})
        return RedirectResponse(f"{LOGIN}?next={quote(request.url.path)}", status_code=303)
    looks = look(request)
    details = ProblemDetails.model_validate_json(bytes(plain.body))
    if request.url.path == LOGIN:
        values = {"failed": True, "detail": details.detail, "provider": services(request).oidc}
        return await run_in_threadpool(lambda: page("login.html", looks, None, values, status=plain.status_code))
    principal = await _principal(request)
    title, advice = _words(looks.language, plain.status_code)
    values = {"title": title, "advice": advice, "details": details}
    answer = await run_in_threadpool(lambda: page("error.html", looks, principal, values, status=plain.status_code))
    if (after := plain.headers.get("retry-after")) is not None:
        answer.headers["Retry-After"] = after
    return answer


async def _principal(request: Request) -> Principal | None:
    try:
        return await current_principal(request, services(request))
    except LorafleetError:
        return None


def _words(words: Language, status: int) -> tuple[str, str]:
    found: dict[int, Callable[[], tuple[str, str]]] = {
        401: lambda: (words.gettext("Please log in"), words.gettext("The address was used before, or your session is over.")),
        403: lambda: (words.gettext("This is not yours to do"), words.gettext("Ask an administrator of your team for the role.")),
        404: lambda: (words.gettext("There is no such page"), words.gettext("It may belong to another team, or never have been.")),
        409: lambda: (words.gettext("Not now"), words.gettext("Something changed meanwhile. Go back and look again.")),
        413: lambda: (words.gettext("That is too large"), words.gettext("Send less at once.")),
        422: lambda: (
            words.gettext("Something is not right yet"),
            words.gettext("Go back, mend what is named here, and send it again."),
        ),
        429: lambda: (words.gettext("Too fast"), words.gettext("Wait a moment and try again.")),
        503: lambda: (words.gettext("The store does not answer"), words.gettext("Nothing is lost. Try again in a moment.")),
    }
    return found.get(status, lambda: (words.gettext("That did not work"), words.gettext("Go back and try again.")))()
