"""The wish that the worker ends: from SIGTERM, Ctrl-C, or the console."""

import signal
from collections.abc import Callable
from time import monotonic
from types import FrameType, TracebackType
from typing import Any

# Of the grace, the part in which the training may save and hand back; the rest is for the last words to the console.
_TO_SAVE = 0.8


class Drain:
    """Takes SIGTERM and SIGINT over while used as a context manager.

    The first asks for a hand-back within ``grace`` seconds, the second for the end at once. A third, and Ctrl-C while nothing
    would be lost (:attr:`idle`), raise ``KeyboardInterrupt`` wherever the main thread is.
    """

    def __init__(self, grace: float, clock: Callable[[], float] = monotonic) -> None:
        self._grace = grace
        self._clock = clock
        self._asked: float | None = None
        self._times = 0
        self._previous: dict[int, Any] = {}
        self.idle = False

    def __enter__(self) -> "Drain":
        self._previous = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.request()
        if self._times > 2 or (number == signal.SIGINT and self.idle):
            raise KeyboardInterrupt

    def request(self) -> None:
        """Ask once more."""
        self._times += 1
        self._asked = self._clock() if self._asked is None else self._asked

    @property
    def wanted(self) -> bool:
        """Whether the worker should end."""
        return self._asked is not None

    @property
    def may_save(self) -> bool:
        """Whether the training still has time to save."""
        return self._times < 2 and self._left(self._grace * _TO_SAVE)

    @property
    def may_speak(self) -> bool:
        """Whether the console is still tried."""
        return self._times < 2 and self._left(self._grace)

    def _left(self, seconds: float) -> bool:
        return self._asked is None or self._clock() < self._asked + seconds
