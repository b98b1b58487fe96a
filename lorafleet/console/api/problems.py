"""Every refusal as RFC 9457 ``application/problem+json``, in one clear line."""

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from lorafleet.console.api.services import services
from lorafleet.console.domain.refusals import Fenced, Refusal
from lorafleet.contracts.console_api import ProblemDetails, ProblemLine
from lorafleet.contracts.problems import ConfigError, DataError, LorafleetError, NoInputError, StorageError, UsageError

MEDIA_TYPE = "application/problem+json"
_MOST = 20
_log = logging.getLogger(__name__)


def problem(status: int, detail: str, lines: Sequence[ProblemLine] = (), headers: Mapping[str, str] | None = None) -> Response:
    """An answer that says what is wrong."""
    title = HTTPStatus(status).phrase
    body = ProblemDetails(
        type=f"urn:lorafleet:problem:{title.lower().replace(' ', '-')}",
        title=title,
        status=status,
        detail=detail,
        problems=tuple(lines),
    )
    # json.dumps, because what is refused may hold half characters, which it escapes and pydantic does not write.
    return Response(json.dumps(body.model_dump()), status_code=status, media_type=MEDIA_TYPE, headers=dict(headers or {}))


def of_error(error: LorafleetError) -> Response:
    """The answer for one of our own errors. Trouble that passes by itself is 503, which callers try again."""
    lines = [ProblemLine(what=line.what, where=line.where, hint=line.hint) for line in error.problems]
    if isinstance(error, Refusal):
        status = error.status
    elif isinstance(error, ConfigError | DataError | UsageError | NoInputError):
        status = HTTPStatus.UNPROCESSABLE_ENTITY
    elif isinstance(error, StorageError):
        # Where the trouble is names a path or address of ours.
        lines = [ProblemLine(what=line.what, hint=line.hint) for line in error.problems]
        _log.warning("storage: %s", error)
        status = HTTPStatus.SERVICE_UNAVAILABLE
    else:
        status = HTTPStatus.INTERNAL_SERVER_ERROR
    headers = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        headers["Retry-After"] = "2"
    detail = "; ".join(_line(line) for line in lines[:_MOST])
    return problem(status, detail, lines[:_MOST], headers)


def of_validation(errors: Sequence[Any]) -> Response:
    """The answer for content of the wrong shape. It names places, never the values found there, which may be secret."""
    lines = [ProblemLine(what=str(error["msg"]), where=".".join(map(str, error["loc"]))) for error in errors[:_MOST]]
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(_line(line) for line in lines), lines)


def install(app: FastAPI) -> None:
    """Let an application answer in this way."""

    @app.exception_handler(LorafleetError)
    async def _own(_: Request, error: LorafleetError) -> Response:
        return of_error(error)

    @app.exception_handler(Fenced)
    async def _fenced(request: Request, error: Fenced) -> Response:
        with suppress(LorafleetError):
            await run_in_threadpool(services(request).ledger.dispatcher.note_fenced, error.job, error.fence)
        return of_error(error)

    @app.exception_handler(RequestValidationError)
    async def _shape(_: Request, error: RequestValidationError) -> Response:
        return of_validation(error.errors())

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> Response:
        return problem(error.status_code, str(error.detail), headers=error.headers)

    @app.exception_handler(Exception)
    async def _defect(request: Request, error: Exception) -> Response:
        _log.error("defect in %s %s", request.method, request.url.path, exc_info=error)
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "a defect of the console; its log says more")


def _line(line: ProblemLine) -> str:
    text = f"{line.where}: {line.what}" if line.where else line.what
    return f"{text} ({line.hint})" if line.hint else text
