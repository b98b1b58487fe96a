"""What the console does by itself, again and again. Every loop is idempotent, and any number of consoles may run it at once."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

from starlette.concurrency import run_in_threadpool

from lorafleet.console.api.services import Services
from lorafleet.console.domain.records import Holding
from lorafleet.console.guard.guard import Guard
from lorafleet.console.guard.prometheus import Prometheus
from lorafleet.console.objects.stores import COPIES, Stores
from lorafleet.console.ports import Ledger
from lorafleet.console.standby.peer import settle
from lorafleet.contracts.problems import LorafleetError

EXPIRE_SECONDS = 1.0
REPAIR_SECONDS = 10.0
PEER_SECONDS = 2.0

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
    tasks = [
        asyncio.create_task(_again("leases", EXPIRE_SECONDS, lambda: expire(services))),
        asyncio.create_task(_again("copies", REPAIR_SECONDS, lambda: run_in_threadpool(repair, services.ledger, services.stores))),
    ]
    own, peer = services.settings.database_url, services.settings.peer_database
    if peer is not None:
        look = partial(settle, own, peer)
        tasks.append(asyncio.create_task(_again("the other site", PEER_SECONDS, lambda: run_in_threadpool(look))))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await run_in_threadpool(guard.stop)
        if prometheus is not None:
            prometheus.close()


async def expire(services: Services) -> None:
    """Find leases that ran out; jobs of lost ones wait again."""
    await run_in_threadpool(services.ledger.dispatcher.expire, services.settings.grace, services.settings.lease_lifetime)


def repair(ledger: Ledger, stores: Stores) -> None:
    """Give what unfinished jobs need a second living copy, where a store has gone and another one is there.

    Raises:
        StorageError: the database or a store does not answer; the next round goes on.
    """
    reachable = stores.reachable()
    for holding in ledger.upkeep.needed():
        living = [name for name in holding.stores if name in reachable]
        spare = [name for name in reachable if name not in holding.stores]
        if 0 < len(living) < COPIES and spare:
            stores.mirror(holding.objects, living[0], spare[0])
            ledger.upkeep.held_by(holding, (*holding.stores, spare[0]))
            _log.warning("%s went to %s; of %s only %s answers", _name(holding), spare[0], ", ".join(holding.stores), living[0])


def _name(holding: Holding) -> str:
    return f"step {holding.step} of {holding.job}" if holding.job else f"{holding.dataset} {holding.version}"


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
