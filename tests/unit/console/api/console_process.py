"""``lorafleet serve`` as real processes, which tests may kill."""

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from lorafleet.cli import main
from lorafleet.console.failpoints import VARIABLE
from tests.unit.console.api.running_console import HttpWorker, quick_client, soon

# Real processes, forked from one that has imported everything already, since most of a start is imports.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["lorafleet.console.server", "lorafleet.console.serve_command", "lorafleet.console.app"])


def run_command(arguments: list[str], environment: dict[str, str], output: Path) -> None:
    """The command's process."""
    os.environ.update(environment)
    with output.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.exit(main(["serve", *arguments]))


@dataclass
class ConsoleProcess:
    """The console as tests of a worker know it."""

    directory: Path
    process: Any
    output: Path
    url: str
    page: str
    release: str
    clients: list[httpx.Client] = field(default_factory=list)
    workers: list[httpx.Client] = field(default_factory=list)

    @property
    def admin(self) -> httpx.Client:
        if not self.clients:
            token = (self.directory / "token").read_text().strip()
            self.clients.append(quick_client(base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=20))
        return self.clients[0]

    @property
    def port(self) -> str:
        return self.url.rpartition(":")[2]

    def worker(self, name: str = "worker-1") -> HttpWorker:
        worker = HttpWorker(self, name=name, release=self.release)
        self.workers.append(worker.http)
        return worker

    def stop(self, number: int = signal.SIGTERM) -> int | None:
        if self.process.is_alive():
            os.kill(self.process.pid, number)
        self.process.join(20)
        return self.process.exitcode


Serve = Callable[..., ConsoleProcess]


@contextmanager
def serving(folder: Path, *always: str) -> Iterator[Serve]:
    """Starts consoles below ``folder`` with these options and each call's own; ends them all."""
    running: list[ConsoleProcess] = []

    def start(*options: str, failpoint: str = "", name: str = "console") -> ConsoleProcess:
        ready, output = folder / f"{name}-{len(running)}.json", folder / f"{name}-{len(running)}.output"
        arguments = ["--dir", str(folder / name), "--port", "0", "--ready-file", str(ready), *always, *options]
        process = CONTEXT.Process(target=run_command, args=(arguments, {VARIABLE: failpoint}, output))
        process.start()
        soon(lambda: ready.exists() or not process.is_alive(), 60)
        assert ready.exists(), output.read_text()
        told = json.loads(ready.read_text())
        running.append(ConsoleProcess(folder / name, process, output, told["url"], told["page"], told["release"]))
        return running[-1]

    try:
        yield start
    finally:
        for each in running:
            each.stop(signal.SIGKILL)
            for client in (*each.clients, *each.workers):
                client.close()
