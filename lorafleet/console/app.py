"""Assembling the console: one ASGI application over a ledger and the stores."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp

from lorafleet import __version__
from lorafleet.console.api import (
    access,
    checkup,
    datasets,
    downloads,
    estimates,
    fleet,
    health,
    job_events,
    jobs,
    metrics,
    oidc,
    probes,
    problems,
    releases,
    sessions,
    team_secrets,
    uploads,
    worker,
)
from lorafleet.console.api.defences import Defences
from lorafleet.console.api.preflights import PreflightChecks
from lorafleet.console.api.services import Services
from lorafleet.console.dataset_versions import DatasetVersions
from lorafleet.console.loops import running
from lorafleet.console.objects.stores import Stores
from lorafleet.console.ports import Ledger
from lorafleet.console.preflight_checks import FleetChecks
from lorafleet.console.settings import Settings, refuse_unsafe
from lorafleet.console.uploads.limits import Limits
from lorafleet.console.web import pages
from lorafleet.contracts import paths
from lorafleet.contracts.console_api import ProblemDetails

_PROBLEM = {"model": ProblemDetails, "description": "Refused; what is wrong and how to mend it."}
_REFUSALS: tuple[int | str, ...] = ("422", "4XX", "5XX")
_ROUTERS = (
    access,
    checkup,
    datasets,
    downloads,
    estimates,
    fleet,
    health,
    job_events,
    jobs,
    metrics,
    oidc,
    probes,
    releases,
    sessions,
    team_secrets,
    uploads,
    worker,
)


def create_app(
    settings: Settings,
    ledger: Ledger,
    stores: Stores,
    *,
    checks: PreflightChecks | None = None,
    routers: Sequence[APIRouter] = (),
    mounts: Mapping[str, ASGIApp] | None = None,
) -> FastAPI:
    """The console. ``routers`` add pages, ``mounts`` whole applications by path; ``app.state.services`` holds what they share.

    Raises:
        ConfigError: the set-up is unsafe.
    """
    refuse_unsafe(settings)
    versions = DatasetVersions(settings.directory / "uploads", ledger, stores, Limits(upload_bytes=settings.upload_bytes))
    services = Services(settings, ledger, stores, versions, checks or FleetChecks(settings, ledger))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(services.secrets.rotate)
        services.start()
        async with running(services):
            yield
        services.stop()

    app = FastAPI(
        title="lorafleet",
        version=__version__,
        summary="Train LoRAs, and lose nothing when a cloud, a release or a pod dies.",
        openapi_url=f"{paths.API}/openapi.json",
        # The usual pages load scripts from elsewhere, which the content security policy forbids.
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        generate_unique_id_function=_operation_id,
        responses=dict.fromkeys(_REFUSALS, _PROBLEM),
    )
    app.state.services = services
    problems.install(app)
    for module in _ROUTERS:
        app.include_router(module.router)
    for router in routers:
        app.include_router(router)
    for path, mounted in (mounts or {}).items():
        app.mount(path, mounted)
    pages.install(app)
    app.add_middleware(Defences, settings=settings, limits=services.limits)
    _complete_document(app)
    return app


def _operation_id(route: APIRoute) -> str:
    return f"{route.tags[0]}-{route.name}" if route.tags else route.name


def _complete_document(app: FastAPI) -> None:
    generate = app.openapi

    def complete() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            document.setdefault("components", {})["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            document["security"] = [{"token": []}]
            for operations in document["paths"].values():
                for operation in operations.values():
                    for status in _REFUSALS:
                        # FastAPI knows one media type for models.
                        content = operation["responses"][status]["content"]
                        operation["responses"][status]["content"] = {problems.MEDIA_TYPE: content["application/json"]}
        return app.openapi_schema or {}

    app.openapi = complete  # type: ignore[method-assign]
