"""Starting real servers: where the build scripts put them, on free ports of loopback, ended by their own process id."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest


def engines_home() -> Path:
    """Where the build scripts put what they build."""
    return Path(os.environ.get("ENGINES_HOME") or Path.home() / ".cache" / "lorafleet-engines")


def binary(name: str, built_by: str) -> Path:
    """A built program, else an installed one; without either the test fails and names the script that builds it."""
    path = engines_home() / "bin" / name
    if path.exists():
        return path
    if installed := shutil.which(name):
        return Path(installed)
    pytest.fail(f"{path} is not there and {name} is not on PATH: run {built_by}, or make engines", pytrace=False)


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int, address: str = "127.0.0.1") -> bool:
    """Whether something listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0


def wait_until(met: Callable[[], object], seconds: float, what: str, every: float = 0.1) -> None:
    """Wait for a condition of the test bed itself; ``what`` is said when it is not met in time."""
    until = time.monotonic() + seconds
    while not met():
        if time.monotonic() > until:
            pytest.fail(f"not met within {seconds:g} s: {what}", pytrace=False)
        time.sleep(every)


class Server:
    """A started program with its log. It can be paused, killed and started again with the same words."""

    def __init__(
        self, name: str, command: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = [str(word) for word in command]
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **(environment or {})}
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Server":
        """Start it; what it says is appended to :attr:`log`."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, env=self._environment, cwd=self._folder, stdout=log, stderr=log)
        return self

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of a server that has been started."""
        assert self._process is not None
        return self._process.pid

    def wait_for(self, ready: Callable[[], object], seconds: float) -> None:
        """Wait until it is ready; the test fails with the end of the log where it ends or takes longer."""
        until = time.monotonic() + seconds
        while not ready():
            if not self.runs or time.monotonic() > until:
                pytest.fail(f"{self.name} did not start:\n{self.log.read_text(errors='replace')[-3000:]}", pytrace=False)
            time.sleep(0.05)

    def pause(self) -> None:
        """Let it hang: connections are made by the kernel, and nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, as a lost machine does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order, by force after ten seconds."""
        if self.runs:
            self._signal(signal.SIGCONT)
            self._end(signal.SIGTERM)

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
