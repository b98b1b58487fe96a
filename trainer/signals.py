"""SIGTERM and Ctrl-C become a request that long work polls; a second Ctrl-C ends the process at once."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from lorafleet.contracts.problems import Interrupted, Preempted


class StopRequests:
    """Remembers that the process was told to stop.

    Used as a context manager, nested if need be, it takes over SIGTERM and SIGINT; outside the main thread it only offers
    :meth:`request`.
    """

    def __init__(self) -> None:
        self._signal: int | None = None
        self._save = False
        self.finish_wanted = False
        self._previous: list[dict[int, Any]] = []

    def __enter__(self) -> "StopRequests":
        numbers = (signal.SIGTERM, signal.SIGINT) if threading.current_thread() is threading.main_thread() else ()
        self._previous.append({number: signal.signal(number, self._on_signal) for number in numbers})
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._previous.pop().items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self._signal == signal.SIGINT:
            raise KeyboardInterrupt
        self.request(number)

    def request(self, number: int = signal.SIGTERM) -> None:
        """Ask the run to stop, as the signal would."""
        self._signal = number

    def request_save(self) -> None:
        """Ask for a checkpoint after the next step."""
        self._save = True

    def take_save(self) -> bool:
        """Whether a checkpoint was asked for since the last call."""
        wanted, self._save = self._save, False
        return wanted

    def request_finish(self) -> None:
        """Ask the run to end well after the next step, with the weights as they are then."""
        self.finish_wanted = True

    @property
    def requested(self) -> bool:
        """Whether the run should stop."""
        return self._signal is not None

    def check(self) -> None:
        """Raise if the run should stop.

        Raises:
            Preempted: after SIGTERM.
            Interrupted: after Ctrl-C.
        """
        if self._signal is None:
            return
        if self._signal == signal.SIGINT:
            raise Interrupted("stopped by Ctrl-C", hint="the same command goes on from here")
        raise Preempted("told to stop (SIGTERM)", hint="the same command goes on from here")
