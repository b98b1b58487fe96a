"""The other ranks of a run on several GPUs. The training process itself is rank 0: it alone writes, reports and beats.

They are told the same as it was, by a pipe, and end with it: by their own death signal, by the end of that pipe, or killed. Their
environment is torchrun's, which :mod:`trainer.distributed` reads.
"""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from pydantic import ValidationError

from lorafleet.contracts.outcomes import ExitCode
from lorafleet.contracts.problems import Problem, UnavailableError
from trainer.worker.channel import EVENTS, Ended, LineWriter, Train

_GRACE_SECONDS = 10.0
_FAREWELL_SECONDS = 30.0


class Ranks:
    """Ranks 1 to ``task.ranks - 1``, between entering and leaving the context. Must be entered on the main thread.

    ``on_failure`` is told, on another thread, of a rank that failed while rank 0 hangs in a sum that will never come.

    Raises:
        UnavailableError: a process cannot be started.
    """

    def __init__(self, task: Train, on_failure: Callable[[Ended], None]) -> None:
        self._task = task
        self._on_failure = on_failure
        self._over = threading.Event()
        self._failed = threading.Event()
        self._failure: Ended | None = None
        self._lock = threading.Lock()
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Ranks":
        if self._task.ranks > 1:
            world = {"WORLD_SIZE": str(self._task.ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
            # All ranks are on this machine, whatever its name resolves to.
            world["GLOO_SOCKET_IFNAME"] = os.environ.get("GLOO_SOCKET_IFNAME", "lo")
            os.environ.update({**world, "RANK": "0", "LOCAL_RANK": "0"})
            try:
                for rank in range(1, self._task.ranks):
                    self._start(rank, world)
            except OSError as error:
                self._kill()
                raise UnavailableError(f"rank {len(self._processes)} cannot be started: {error.strerror}") from None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        if kind is None:
            for process in self._processes:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_FAREWELL_SECONDS)
        self._kill()

    def failure(self) -> Ended | None:
        """How the first rank failed that knows why, if one does soon; a broken connection is what all the others see."""
        if not self._processes:
            return None
        self._failed.wait(_GRACE_SECONDS)
        with self._lock:
            return self._failure

    def _start(self, rank: int, world: dict[str, str]) -> None:
        reading, writing = os.pipe()
        try:
            process = subprocess.Popen(  # noqa: S603  (our own module)
                [sys.executable, "-m", "trainer.worker.rank", str(writing)],
                stdin=subprocess.PIPE,
                pass_fds=(writing,),
                env={**_without_secrets(self._task), **world, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            )
        finally:
            os.close(writing)
        self._processes.append(process)
        assert process.stdin is not None
        LineWriter(process.stdin.fileno()).write(self._task)
        threading.Thread(target=self._watch, args=(rank, process, reading), name=f"rank-{rank}", daemon=True).start()

    def _watch(self, rank: int, process: subprocess.Popen[bytes], reading: int) -> None:
        told = None
        with os.fdopen(reading, "rb") as pipe:
            for line in pipe:
                with suppress(ValidationError):
                    event = EVENTS.validate_json(line)
                    told = event if isinstance(event, Ended) else told
        code = process.wait()
        if code == 0 or self._over.is_set():
            return
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        found = told or Ended(exit_code=ExitCode.FAILED, step=0, problems=(Problem(f"rank {rank} {how} and without a word"),))
        with self._lock:
            # What only shows that another rank has gone is no reason.
            if self._failure is None or (self._failure.exit_code == ExitCode.FAILED and found.exit_code != ExitCode.FAILED):
                self._failure = found
        self._failed.set()
        if not self._over.wait(_GRACE_SECONDS):
            with self._lock:
                failure = self._failure
            assert failure is not None
            self._on_failure(failure)

    def _kill(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()


def _without_secrets(task: Train) -> dict[str, str]:
    """Other processes of this user see the environment of a process's start; each rank is told its secrets instead."""
    return {name: value for name, value in os.environ.items() if name not in task.environment}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
