"""Group commit: what arrives while a transaction runs goes into the next one together."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from starlette.concurrency import run_in_threadpool

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class GroupCommit(Generic[Item, Answer]):
    """Calls ``commit`` with up to ``most`` items at a time, one call after the other, and gives each caller its own answer.

    An answer that is an exception is raised to its caller; an exception of ``commit`` itself is raised to all of that group.
    """

    def __init__(self, commit: Callable[[Sequence[Item]], Sequence[Answer | Exception]], most: int = 64) -> None:
        self._commit = commit
        self._most = most
        self._waiting: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._running: asyncio.Task[None] | None = None

    async def __call__(self, item: Item) -> Answer:
        """Put one item into the next group and wait until it is durable."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            try:
                answers: Sequence[Answer | Exception] = await run_in_threadpool(self._commit, [item for item, _ in group])
            except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to the callers
                answers = [error] * len(group)
            for (_, future), answer in zip(group, answers, strict=True):
                if future.done():
                    continue
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
