"""Several transfers at once, of which none can hold up a run that was told to stop."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")

_LOOK_SECONDS = 0.2
_FAREWELL_SECONDS = 2.0


class AbandonedError(Exception):
    """Raised inside a job when the others were ended."""


def run_all(
    jobs: Sequence[Job], work: Callable[[Job, Callable[[], None]], Result], watch: Callable[[], None], hands: int
) -> Iterator[Result]:
    """Yield ``work(job, go_on)`` of all jobs as they end, at most ``hands`` at once.

    ``watch`` is called on this thread several times a second; what it or a job raises ends the others, whose ``go_on()`` then raises.
    """
    waiting, ended, stop = deque(jobs), SimpleQueue[tuple[Result | None, BaseException | None]](), threading.Event()

    def go_on() -> None:
        if stop.is_set():
            raise AbandonedError

    def worker() -> None:
        with suppress(IndexError):
            while not stop.is_set():
                job = waiting.popleft()
                try:
                    ended.put((work(job, go_on), None))
                except BaseException as error:  # noqa: BLE001  (it is raised again on the thread that waits)
                    ended.put((None, error))

    # Daemons, because a socket that fell silent must not keep the process alive after SIGTERM.
    threads = [threading.Thread(target=worker, name="transfer", daemon=True) for _ in range(min(hands, len(jobs)))]
    for thread in threads:
        thread.start()
    try:
        left = len(jobs)
        while left:
            watch()
            try:
                result, error = ended.get(timeout=_LOOK_SECONDS)
            except Empty:
                continue
            if error is not None:
                raise error
            left -= 1
            yield result  # type: ignore[misc]
    finally:
        stop.set()
        until = monotonic() + _FAREWELL_SECONDS
        for thread in threads:
            thread.join(max(0.0, until - monotonic()))
