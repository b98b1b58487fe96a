"""Waking what waits in this process, so that the happy path has no polling latency; other processes' news is found by polling."""

import asyncio
import contextlib


class Wakeup:
    """Wakes every waiter at once. ``ring`` may be called from any thread."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event = asyncio.Event()
        self._closed = False

    def start(self) -> None:
        """Tie it to the running loop."""
        self._loop = asyncio.get_running_loop()

    @property
    def closed(self) -> bool:
        """Whether the process is ending, so that nobody should wait any more."""
        return self._closed

    def ring(self) -> None:
        """Wake whoever waits now or took a ticket before."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ring)

    def close(self) -> None:
        """Wake everyone for the last time."""
        self._closed = True
        self.ring()

    def ticket(self) -> asyncio.Event:
        """What to wait on. Taken before looking, so that a ring between the look and the wait is not missed."""
        return self._event

    async def wait(self, ticket: asyncio.Event, seconds: float) -> None:
        """Wait for a ring, or so long."""
        if not self._closed:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ticket.wait(), seconds)

    def _ring(self) -> None:
        self._event.set()
        self._event = asyncio.Event()
