"""Pulumi's command as a process: what it says, and how Ctrl-C reaches it."""

import os
import signal
import stat
import threading
import time
from pathlib import Path

import pytest
from pulumi.automation.errors import CommandError

from infra.engine.pulumi_cli import PulumiCli
from lorafleet.contracts.problems import Interrupted, UnavailableError

VERSION = 'if [ "$1" = version ]; then echo v3.200.0; exit 0; fi\n'


def command(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    path = folder / "pulumi"
    path.write_text(f"#!/bin/sh\n{VERSION}{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_what_it_says_comes_line_by_line_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command(tmp_path, monkeypatch, 'echo "$@"; echo second; echo wrong >&2; [ -z "$FAIL" ]')
    out: list[str] = []
    result = PulumiCli(print).run(["stack", "ls"], str(tmp_path), {}, on_output=out.append)
    assert out == ["--non-interactive stack ls", "second"]
    assert (result.stdout, result.stderr, result.code) == ("--non-interactive stack ls\nsecond", "wrong", 0)
    with pytest.raises(CommandError, match="wrong"):
        PulumiCli(print).run(["x"], str(tmp_path), {"FAIL": "1"})


def test_ctrl_c_is_handed_on_and_the_command_may_end_in_its_own_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = tmp_path / "begun"
    command(
        tmp_path,
        monkeypatch,
        f"trap 'echo finishing; exit 7' INT\ntouch {begun}\nwhile :; do sleep 0.05; done",
    )
    told: list[str] = []
    cli = PulumiCli(told.append)
    before = signal.getsignal(signal.SIGINT)

    def press() -> None:
        while not begun.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    said: list[str] = []
    with pytest.raises(Interrupted, match="the same command again goes on"):
        cli.run(["up"], str(tmp_path), {}, on_output=said.append)
    presser.join()
    assert said == ["finishing"]
    assert cli.stopped == 1
    assert told == ["stopping: the engine finishes what it has begun; Ctrl-C again stops it at once"]
    assert signal.getsignal(signal.SIGINT) is before


def test_no_command_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match="'pulumi' is not there"):
        PulumiCli(print)


def test_an_old_command_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pulumi"
    path.write_text("#!/bin/sh\necho v2.0.0\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(UnavailableError, match="cannot be used") as caught:
        PulumiCli(print)
    assert "\n" not in str(caught.value)
