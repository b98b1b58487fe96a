"""All pages, put into the console's application."""

from fastapi import APIRouter, FastAPI
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from lorafleet.console.web import (
    access_pages,
    dataset_pages,
    errors,
    fleet_pages,
    home_page,
    job_pages,
    new_job_page,
    preferences,
    secret_pages,
)
from lorafleet.console.web.rendering import STATIC, STATIC_PATH

_MODULES = (home_page, new_job_page, job_pages, dataset_pages, fleet_pages, access_pages, secret_pages, preferences)


class _Static(StaticFiles):
    """Files whose address changes with their content."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """See StaticFiles."""
        response = await super().get_response(path, scope)
        versioned = scope.get("query_string", b"").startswith(b"v=")
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if versioned else "no-cache"
        return response


def router() -> APIRouter:
    """Every page's address."""
    every = APIRouter(include_in_schema=False)
    for module in _MODULES:
        every.include_router(module.router)
    return every


def install(app: FastAPI) -> None:
    """Give an application pages, their static files, and refusals that a person can read."""
    app.include_router(router())
    app.mount(STATIC_PATH, _Static(directory=STATIC), name="static")
    errors.install(app)
