"""What happens to a job, as pages or as a stream that a browser takes up again where it broke off (Server-Sent Events)."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from lorafleet.console.api.auth import Viewer, current_principal
from lorafleet.console.api.parameters import JobId
from lorafleet.console.api.services import Here, Services
from lorafleet.console.api.views import event_view
from lorafleet.console.domain.records import EventRecord
from lorafleet.contracts import paths
from lorafleet.contracts.console_api import EventView
from lorafleet.contracts.problems import LorafleetError

router = APIRouter(prefix=f"{paths.API}/jobs", tags=["jobs"])

STREAM = "text/event-stream"
_PAGE = 500
_LEAST_PAUSE_SECONDS = 0.2
_SIGN_OF_LIFE_SECONDS = 15.0


@router.get(
    "/{job}/events",
    response_model=list[EventView],
    responses={200: {"description": "Events in order; a stream where text/event-stream is accepted.", "content": {STREAM: {}}}},
)
async def events(
    request: Request,
    job: JobId,
    principal: Viewer,
    here: Here,
    after: Annotated[int, Query(ge=0, lt=2**63, description="Events with larger numbers only.")] = 0,
    limit: Annotated[int, Query(ge=1, le=_PAGE)] = _PAGE,
    last_event_id: Annotated[str | None, Header(pattern=r"^[0-9]{1,18}$")] = None,
) -> Response | list[EventView]:
    """What happened to a job. The stream ends with an event ``end`` once the job is over and everything was told."""
    after = max(after, int(last_event_id or 0))
    await run_in_threadpool(here.ledger.jobs.get, principal.team, job)
    if STREAM not in request.headers.get("accept", ""):
        rows = await run_in_threadpool(here.ledger.jobs.events, principal.team, job, after, limit)
        return [event_view(row) for row in rows]
    stream = _stream(request, here, principal.team, job, after)
    return StreamingResponse(stream, media_type=STREAM, headers={"X-Accel-Buffering": "no"})


async def _stream(request: Request, here: Services, team: str, job: str, after: int) -> AsyncIterator[str]:
    # Told at once, so that a browser knows the stream stands.
    yield "retry: 2000\n\n"
    told = loop_time()
    while not here.news.closed:
        ticket = here.news.ticket()
        # Read before the events: a job that is over then has no event that comes later.
        over = (await run_in_threadpool(here.ledger.jobs.get, team, job)).ended_at is not None
        rows = await run_in_threadpool(here.ledger.jobs.events, team, job, after, _PAGE)
        for row in rows:
            yield _event(row)
            after = row.number
        if over and len(rows) < _PAGE:
            yield "event: end\ndata: {}\n\n"
            return
        if rows:
            told = loop_time()
        elif loop_time() - told > _SIGN_OF_LIFE_SECONDS:
            if not await _still_allowed(request, here):
                return
            yield ": still here\n\n"
            told = loop_time()
        await asyncio.sleep(_LEAST_PAUSE_SECONDS)
        await here.news.wait(ticket, here.settings.poll_seconds)


async def _still_allowed(request: Request, here: Services) -> bool:
    with suppress(LorafleetError):
        await current_principal(request, here)
        return True
    return False


def _event(row: EventRecord) -> str:
    data = json.dumps(event_view(row).model_dump(mode="json"), ensure_ascii=False, separators=(",", ":"))
    return f"id: {row.number}\nevent: {row.kind.value}\ndata: {data}\n\n"


def loop_time() -> float:
    """The running loop's clock in seconds."""
    return asyncio.get_running_loop().time()
