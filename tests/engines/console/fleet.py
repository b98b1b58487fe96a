"""Simulated workers as processes, and what the console says became of their jobs."""

import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from simulated_worker import Spec, work

from tests.unit.console.api.console_process import CONTEXT, ConsoleProcess
from tests.unit.console.api.running_console import API


class Workers:
    """Those that a test started; killed at its end."""

    def __init__(self) -> None:
        self._running: dict[str, Any] = {}

    def start(self, console: ConsoleProcess, name: str, site: str = "local", url: str = "", **more: Any) -> None:
        """Start one, which finds the console at ``url``."""
        credential = (console.directory / "enrolment" / site).read_text().strip()
        spec = Spec(url or console.url, site, name, console.release, credential, **more)
        self._running[name] = CONTEXT.Process(target=work, args=(spec,), daemon=True)
        self._running[name].start()

    def kill(self, name: str) -> None:
        """End one as a lost machine does."""
        process = self._running.pop(name)
        os.kill(process.pid, signal.SIGKILL)
        process.join(10)

    def kill_all(self) -> None:
        """End all."""
        for name in tuple(self._running):
            self.kill(name)


@contextmanager
def workers_for_a_test() -> Iterator[Workers]:
    """Workers that do not outlive the block."""
    workers = Workers()
    try:
        yield workers
    finally:
        workers.kill_all()


def job(console: ConsoleProcess, name: str) -> dict[str, Any]:
    """A job's view."""
    return dict(console.admin.get(f"{API}/jobs/{name}").json())


def attempts(console: ConsoleProcess, name: str) -> list[dict[str, Any]]:
    """A job's attempts by fence."""
    return sorted(console.admin.get(f"{API}/jobs/{name}/attempts").json(), key=lambda each: each["fence"])


def seeded(request: pytest.FixtureRequest) -> random.Random:
    """Chance that can be repeated: ``LORAFLEET_SEED`` sets it, and pytest shows it where the test fails."""
    seed = int(os.environ.get("LORAFLEET_SEED") or random.SystemRandom().randrange(2**32))
    print(f"{request.node.name}: LORAFLEET_SEED={seed}")
    return random.Random(seed)
