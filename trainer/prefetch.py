"""Batches are made ready on a thread while the device computes."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

Item = TypeVar("Item")
Ready = TypeVar("Ready")


class Prefetcher(Generic[Item, Ready]):
    """Iterates ``make(item)`` for each item, up to ``depth`` of them ahead, in order.

    ``first`` is called once on the thread. An error in ``make`` is raised where its result would have been. Leaving the ``with``
    block ends the thread.
    """

    def __init__(
        self, items: Iterable[Item], make: Callable[[Item], Ready], depth: int = 3, first: Callable[[], None] = lambda: None
    ) -> None:
        self._queue: queue.Queue[tuple[Ready | None, BaseException | None]] = queue.Queue(maxsize=depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(items, make, first), name="prefetch", daemon=True)

    def __enter__(self) -> Iterator[Ready]:
        self._thread.start()
        return self._ready()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(timeout=10)

    def _run(self, items: Iterable[Item], make: Callable[[Item], Ready], first: Callable[[], None]) -> None:
        try:
            first()
            for item in items:
                if not self._put((make(item), None)):
                    return
            self._put((None, StopIteration()))
        except BaseException as error:  # noqa: BLE001  (it is raised again on the consumer's side)
            self._put((None, error))

    def _put(self, entry: tuple[Ready | None, BaseException | None]) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(entry, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def _ready(self) -> Iterator[Ready]:
        while True:
            ready, error = self._queue.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield ready  # type: ignore[misc]  # ready is None only beside an error
