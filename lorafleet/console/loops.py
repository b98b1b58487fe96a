"""What the console does by itself, again and again. Every loop is idempotent, and any number of consoles may run it at once."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial

from starlette.concurrency import run_in_threadpool

from lorafleet.console.api.services import Services
from lorafleet.console.domain.records import Holding
from lorafleet.console.guard.guard import Guard
from lorafleet.console.guard.prometheus import Prometheus
from lorafleet.console.objects.errors import StoreError
from lorafleet.console.objects.stores import COPIES, Stores
from lorafleet.console.ports import Ledger
from lorafleet.console.standby.peer import settle
from lorafleet.contracts import layout
from lorafleet.contracts.problems import LorafleetError

EXPIRE_SECONDS = 1.0
REPAIR_SECONDS = 10.0
RESTORE_SECONDS = 300.0
PEER_SECONDS = 2.0
FORGET_SECONDS = 60.0
DRAFTS_SECONDS = 300.0
ABANDONED_AFTER = timedelta(days=7)
"""How long an upload waits for its next request."""
LAST_WRITES = timedelta(hours=1)
"""How long after an upload's end a request that began before may still write."""
BETWEEN_BATCHES_SECONDS = 0.02
"""A pause in which others write."""

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
    ledger, stores = services.ledger, services.stores
    tasks = [
        asyncio.create_task(_again("leases", EXPIRE_SECONDS, lambda: expire(services))),
        asyncio.create_task(_again("copies", REPAIR_SECONDS, lambda: run_in_threadpool(repair, ledger, stores))),
        asyncio.create_task(_again("vanished copies", RESTORE_SECONDS, lambda: run_in_threadpool(restore, ledger, stores))),
        asyncio.create_task(_again("drafts", DRAFTS_SECONDS, lambda: run_in_threadpool(clear_drafts, ledger, stores))),
    ]
    if (keep := services.settings.keep_events) is not None:
        tasks.append(asyncio.create_task(_again("old events", FORGET_SECONDS, lambda: forget(ledger, keep))))
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


def clear_drafts(ledger: Ledger, stores: Stores) -> None:
    """Drop uploads that nobody goes on with, and remove what lies in the stores of dropped ones.

    Raises:
        StorageError: the database or a store does not answer; the next round goes on.
    """
    ledger.drafts.abandon(ABANDONED_AFTER)
    for dataset, draft in ledger.drafts.dropped(LAST_WRITES):
        for store in stores.by_name.values():
            for facts in store.list(layout.dataset_prefix(dataset, draft)):
                store.delete(facts.key)
        ledger.drafts.forget(draft)


async def forget(ledger: Ledger, keep: timedelta) -> None:
    """Remove events and logs of jobs that ended longer ago than ``keep``, batch after batch."""
    while await run_in_threadpool(ledger.upkeep.forget, keep):
        await asyncio.sleep(BETWEEN_BATCHES_SECONDS)


def repair(ledger: Ledger, stores: Stores) -> None:
    """Give what unfinished jobs need a second living copy, where a store has gone and another one is there.

    Raises:
        StorageError: the database does not answer, or a store not for all of it; the next round goes on.
    """
    reachable = stores.reachable()

    def copy(holding: Holding) -> None:
        living = [name for name in holding.stores if name in reachable]
        spare = [name for name in reachable if name not in holding.stores]
        if 0 < len(living) < COPIES and spare:
            stores.mirror(holding.objects, living[0], spare[0])
            ledger.upkeep.held_by(holding, (*holding.stores, spare[0]))
            _log.warning("%s went to %s; of %s only %s answers", _name(holding), spare[0], ", ".join(holding.stores), living[0])

    _each(ledger.upkeep.needed(), copy)


def restore(ledger: Ledger, stores: Stores) -> None:
    """Give a store back what unfinished jobs need of it and what has vanished there, such as after it was emptied.

    Raises:
        StorageError: the database does not answer, or a store not for all of it; the next round goes on.
    """
    reachable = stores.reachable()

    def bring_back(holding: Holding) -> None:
        lacking = {name: stores.lacking(holding.objects, name) for name in holding.stores if name in reachable}
        whole = next((name for name, missing in lacking.items() if not missing), None)
        for name, missing in lacking.items():
            if missing and whole is None:
                _log.error("%s is whole in no store that answers; %s lacks %d objects", _name(holding), name, len(missing))
            elif missing and whole is not None:
                stores.mirror(missing, whole, name)
                _log.warning("%d objects of %s had vanished from %s and are there again", len(missing), _name(holding), name)

    _each(ledger.upkeep.needed(), bring_back)


def _each(holdings: Sequence[Holding], see_to: Callable[[Holding], None]) -> None:
    """See to all of them, and raise the first failure after the last: one that cannot be copied must not keep the others from it."""
    first: StoreError | None = None
    for holding in holdings:
        try:
            see_to(holding)
        except StoreError as error:
            first = first or StoreError(f"{_name(holding)}: {error}")
    if first is not None:
        raise first


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
