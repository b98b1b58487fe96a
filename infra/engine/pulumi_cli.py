"""Pulumi's command, as the automation API runs it, but so that Ctrl-C ends it in its own way."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

from pulumi.automation import CommandResult, OnOutput, PulumiCommand
from pulumi.automation.errors import InvalidVersionError, create_command_error

from lorafleet.contracts.problems import Interrupted, UnavailableError

INSTALL = "https://www.pulumi.com/docs/install/"


class PulumiCli(PulumiCommand):
    """The first Ctrl-C lets the engine finish what it has begun, a second one stops it at once.

    ``stopped`` counts them, and ``told`` gets a word of ours about each (stderr where none is given).

    The engine is a session of its own: the terminal's Ctrl-C would otherwise reach it and its plugins beside ours, and count twice.
    """

    def __init__(self, told: Callable[[str], None] | None = None) -> None:
        try:
            super().__init__()
        except FileNotFoundError:
            raise UnavailableError("the command 'pulumi' is not there", hint=f"see {INSTALL}") from None
        except (InvalidVersionError, subprocess.CalledProcessError, OSError) as error:
            said = " ".join(str(error).split())
            raise UnavailableError(f"the command 'pulumi' cannot be used: {said}", hint=f"see {INSTALL}") from None
        self.stopped = 0
        self._told = told or _aside

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: OnOutput | None = None,
        on_error: OnOutput | None = None,
    ) -> CommandResult:
        """See ``PulumiCommand``.

        Raises:
            CommandError: it failed.
            Interrupted: it was stopped by Ctrl-C, however it ended then.
        """
        before = self.stopped
        environment = {**os.environ, **additional_env, "PULUMI_AUTOMATION_API": "true", "PULUMI_SKIP_UPDATE_CHECK": "true"}
        process = subprocess.Popen(  # noqa: S603  (a list of words)
            [self.command, "--non-interactive", *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=environment,
            encoding="utf-8",
            start_new_session=True,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        with process, self._ctrl_c(process):
            said: tuple[list[str], list[str]] = ([], [])
            readers = [
                threading.Thread(target=_read, args=(stream, told, lines))
                for stream, told, lines in ((process.stdout, on_output, said[0]), (process.stderr, on_error, said[1]))
            ]
            for reader in readers:
                reader.start()
            for reader in readers:
                reader.join()
            code = process.wait()
        if self.stopped > before:
            raise Interrupted("the engine was stopped", hint=_after_stop(self.stopped - before))
        result = CommandResult(stdout="\n".join(said[0]), stderr="\n".join(said[1]), code=code)
        if code != 0:
            raise create_command_error(result)
        return result

    @contextmanager
    def _ctrl_c(self, process: subprocess.Popen[str]) -> Iterator[None]:
        def stop(number: int, frame: Any) -> None:
            self.stopped += 1
            process.send_signal(signal.SIGINT)
            if self.stopped == 1:
                self._told("stopping: the engine finishes what it has begun; Ctrl-C again stops it at once")
            else:
                self._told("stopped at once: what was being made may be there without the stack knowing of it")

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _read(stream: IO[str], told: OnOutput | None, lines: list[str]) -> None:
    for line in stream:
        lines.append(line.rstrip())
        if told is not None:
            told(lines[-1])


def _after_stop(times: int) -> str:
    if times == 1:
        return "what was begun is finished and known to the stack; the same command again goes on"
    return "what was being made may be there unknown: lorafleet site refresh looks, and the next up makes or takes up what is left"


def _aside(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
