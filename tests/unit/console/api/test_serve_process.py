"""``lorafleet serve`` as a process: addresses, signals, unsafe set-ups, and kill -9 where something just became durable."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lorafleet.cli import main
from tests.unit.console.api.console_process import Serve, serving
from tests.unit.console.api.kill_nine import KillNine
from tests.unit.console.api.running_console import API, soon


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    with serving(tmp_path) as start:
        yield start


def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, *options: str) -> tuple[int, list[str]]:
    code = main(["serve", "--dir", str(tmp_path / "console"), "--port", "0", *options])
    return code, capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_while_a_worker_waits(serve: Serve, number: int) -> None:
    console = serve()
    assert httpx.get(console.page).status_code == 303
    worker = console.worker().enrol()
    answers: list[int] = []
    asking = threading.Thread(target=lambda: answers.append(worker.ask_lease(60).status_code))
    asking.start()
    soon(lambda: bool(console.admin.get(f"{API}/workers").json()))
    assert console.stop(number) == 0
    asking.join(10)
    assert answers == [204]
    # Closed, not merely ended: SQLite has no journal left over.
    assert not (console.directory / "console.sqlite-wal").exists()


def test_what_it_prints_names_files_and_never_a_credential(serve: Serve) -> None:
    console = serve()
    credential = (console.directory / "enrolment" / "local").read_text().strip()
    token = (console.directory / "token").read_text().strip()
    console.stop()
    printed = console.output.read_text()
    assert "/login/once?token=" in printed
    assert str(console.directory / "enrolment" / "local") in printed
    assert credential not in printed
    assert token not in printed
    again = serve()
    assert (again.directory / "enrolment" / "local").read_text().strip() == credential
    assert again.admin.get(f"{API}/me").json()["role"] == "admin"


@pytest.mark.parametrize(
    ("options", "environment", "word"),
    [
        (["--host", "0.0.0.0", "--no-auth", "--public-url", "https://console.example"], {}, "loopback"),
        (["--host", "0.0.0.0", "--public-url", "http://console.example"], {}, "plain http"),
        (["--no-auth", "--public-url", "https://console.example"], {}, "loopback"),
        (["--replicas", "2"], {}, "SQLite"),
        ([], {"LORAFLEET_SECRET": "changethis"}, "secret"),
        ([], {"LORAFLEET_SECRET": "changethis-changethis-changethis-changethis"}, "secret"),
        (["--database", "mysql://x"], {}, "database"),
        (["--site", "a=ftp://x"], {}, "store"),
        (["--site", "a", "--site", "a"], {}, "twice"),
        (["--site", "../out"], {}, "no name of a site"),
        (["--site", "backup"], {}, "a store of its own"),
        (["--store-secret", "b=x"], {}, "--store-secret"),
        (["--prometheus", "prometheus:9090"], {}, "http://prometheus:9090"),
        (["--prometheus", "http://prometheus:port"], {}, "http://prometheus:9090"),
        (["--public-url", "https://[console"], {}, "public_url"),
        (["--public-url", "https://console.example:port"], {}, "public_url"),
    ],
)
def test_an_unsafe_or_wrong_set_up_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    options: list[str],
    environment: dict[str, str],
    word: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    code, lines = refused(capsys, tmp_path, *options)
    assert code != 0
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    assert word in lines[0]


def test_a_second_console_on_the_same_directory_is_refused(
    serve: Serve, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    serve()
    code, lines = refused(capsys, tmp_path)
    assert (code, len(lines)) == (74, 1)
    assert "another console" in lines[0]


class TestKillNineOnSqlite(KillNine):
    pass
