"""The supervisor's side of one training process: started warm, used for one job, and never left behind."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from time import monotonic
from typing import IO

from pydantic import BaseModel, ValidationError

from lorafleet.contracts.problems import UnavailableError
from trainer.worker.channel import EVENTS, LOG_ENDS, Event, LineWriter
from trainer.worker.outbox import Log

_KILL_SECONDS = 10.0
_LONGEST_LINE = 64 * 1024
# Weights & Biases would wait for ever at the end of a run where it is not reached, and the attempt would be taken for a stuck one.
_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1", "WANDB_FINISH_TIMEOUT": "60"}


class TrainingProcess:
    """A process of :mod:`trainer.worker.child` in a session of its own. Must be made on the main thread.

    ``events`` gets what it tells, and None once when no more comes; ``log`` each line that it writes.
    """

    def __init__(self, device: str) -> None:
        self.events = SimpleQueue[Event | None]()
        self.log = Log()
        self._log_ended = threading.Event()
        reading, writing = os.pipe()
        # The kernel's death signal goes by the thread that started the process; were it not the main one, the process would die early.
        assert threading.current_thread() is threading.main_thread()
        try:
            self._process = subprocess.Popen(  # noqa: S603  (our own module)
                [sys.executable, "-m", "trainer.worker.child", str(writing), device],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(writing,),
                start_new_session=True,
                env={**os.environ, **_ENVIRONMENT},
            )
        except OSError as error:
            os.close(reading)
            raise UnavailableError(f"the training process cannot be started: {error.strerror}") from None
        finally:
            os.close(writing)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._instructions = LineWriter(self._process.stdin.fileno())
        self._readers = (
            threading.Thread(target=_read_events, args=(os.fdopen(reading, "rb"), self.events.put), name="events", daemon=True),
            threading.Thread(target=self._read_lines, args=(self._process.stdout,), name="log", daemon=True),
        )
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        """The process's id, which is also its group's."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def tell(self, instruction: BaseModel) -> None:
        """Send an instruction; a process that is gone does not mind."""
        self._instructions.write(instruction)

    def wait(self, seconds: float) -> int | None:
        """The return code, or None where it has not ended in time."""
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(seconds)
        return None

    def wait_for_log(self, seconds: float) -> None:
        """Until everything is read that the process wrote before it said how it ended."""
        self._log_ended.wait(seconds)

    def kill(self) -> int:
        """End the process and whatever it started, at once, and read what is left in its pipes; return its code."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        until = monotonic() + _KILL_SECONDS
        for reader in self._readers:
            reader.join(max(0.0, until - monotonic()))
        if self._process.stdin is not None:
            self._process.stdin.close()
        return code

    def _read_lines(self, pipe: IO[bytes]) -> None:
        with pipe:
            while line := pipe.readline(_LONGEST_LINE):
                text = line.decode("utf-8", errors="replace")
                if text.rstrip("\r\n") == LOG_ENDS:
                    self._log_ended.set()
                else:
                    self.log.add(_shown(text))
        self._log_ended.set()


def _read_events(pipe: IO[bytes], on_event: Callable[[Event | None], None]) -> None:
    with pipe:
        for line in pipe:
            # A process that dies in the middle of a line leaves half of one.
            with suppress(ValidationError):
                on_event(EVENTS.validate_json(line))
    on_event(None)


def _shown(line: str) -> str:
    """What a terminal would show of a line: progress bars write over themselves."""
    last = line.rstrip("\r\n").rpartition("\r")[2]
    return "".join(character for character in last if character.isprintable() or character == "\t")
