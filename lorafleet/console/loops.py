"""What the console does by itself, again and again. Every loop is idempotent, and any number of consoles may run it at once."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from starlette.concurrency import run_in_threadpool

from lorafleet.console.api.services import Services
from lorafleet.console.guard.guard import Guard
from lorafleet.console.guard.prometheus import Prometheus
from lorafleet.contracts.problems import LorafleetError

EXPIRE_SECONDS = 1.0

_log = logging.getLogger(__name__)


@asynccontextmanager
async def running(services: Services) -> AsyncIterator[None]:
    """Run every loop until the block ends."""
    if not services.settings.loops:
        yield
        return
    address = services.settings.prometheus
    prometheus = Prometheus(address) if address else None
    guard = Guard(services.ledger, prometheus)
    guard.start()
    leases = asyncio.create_task(_again("leases", EXPIRE_SECONDS, lambda: expire(services)))
    try:
        yield
    finally:
        leases.cancel()
        with suppress(asyncio.CancelledError):
            await leases
        await run_in_threadpool(guard.stop)
        if prometheus is not None:
            prometheus.close()


async def expire(services: Services) -> None:
    """Find leases that ran out; jobs of lost ones wait again."""
    await run_in_threadpool(services.ledger.dispatcher.expire, services.settings.grace)


async def _again(name: str, pause: float, work: Callable[[], Awaitable[None]]) -> None:
    well = True
    while True:
        try:
            await work()
        except LorafleetError as error:
            # The database or a store is away; said once, not each second.
            if well:
                _log.warning("%s: %s", name, error)
            well = False
        except Exception:  # noqa: BLE001 - one defect must not end what keeps jobs alive
            _log.exception("%s: a defect; the loop goes on", name)
            well = False
        else:
            well = True
        await asyncio.sleep(pause)
