"""Processes that the demo starts, each in a group of its own, so that it can be ended whole."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lorafleet.contracts.problems import UnavailableError

Found = TypeVar("Found")

_LOOK_SECONDS = 0.1
_END_SECONDS = 15.0


@dataclass(frozen=True)
class Service:
    """A running ``lorafleet`` command; what it prints lies in ``log``."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path

    def kill(self) -> None:
        """End it and its children at once, as a power cut does."""
        self._signal(signal.SIGKILL)
        self.process.wait()

    def end(self) -> None:
        """Ask it to end, and insist after a while."""
        self._signal(signal.SIGTERM)
        try:
            self.process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def wait_for(self, look: Callable[[], Found | None], seconds: float) -> Found:
        """Wait until ``look`` finds something.

        Raises:
            UnavailableError: the process ended before, or the time is up.
        """
        until = time.monotonic() + seconds
        while (found := look()) is None:
            if self.process.poll() is not None:
                last = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()][-1:]
                raise UnavailableError(f"{self.name} ended: {''.join(last) or 'it said nothing'}", where=str(self.log))
            if time.monotonic() > until:
                raise UnavailableError(f"{self.name} is not ready after {seconds:.0f} s", where=str(self.log))
            time.sleep(_LOOK_SECONDS)
        return found

    def _signal(self, number: signal.Signals) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)


def start(name: str, folder: Path, words: Sequence[str]) -> Service:
    """Start ``lorafleet WORDS``, its output going to ``folder/NAME.log``."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603  (our own command, as a list)
            [sys.executable, "-m", "lorafleet", *words],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Service(name, process, log)


def wait_for_ctrl_c() -> None:
    """Wait until a person, or SIGTERM, ends the demo."""
    ended = threading.Event()
    previous = signal.signal(signal.SIGTERM, lambda *_: ended.set())
    try:
        ended.wait()
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, previous)
