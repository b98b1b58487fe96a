import os
from collections.abc import Iterator

import pytest
from gate_samples import AT_ONCE, SECRET, Called

from lorafleet.cli import main
from pipelines import delivering, starting
from pipelines.gate.client import Gate, connect
from pipelines.gate.credentials import Credentials
from tests.fake_gate.console import FakeConsole
from tests.fake_gate.gate import FakeGate


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("LORAFLEET_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def gate() -> Iterator[FakeGate]:
    with FakeGate() as server:
        yield server


@pytest.fixture
def client(gate: FakeGate) -> Gate:
    return connect(gate.url, Credentials(), AT_ONCE)


@pytest.fixture
def release(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Called:
    monkeypatch.setattr(starting, "PACE", AT_ONCE)
    monkeypatch.setattr(delivering, "PACE", AT_ONCE)

    def called(*arguments: object) -> tuple[int, str, list[str]]:
        code = main(["release", *map(str, arguments)])
        captured = capsys.readouterr()
        assert SECRET not in captured.out + captured.err
        return code, captured.out, captured.err.splitlines()

    return called


@pytest.fixture
def at_gate(gate: FakeGate, monkeypatch: pytest.MonkeyPatch) -> FakeGate:
    monkeypatch.setenv("LORAFLEET_GATE_URL", gate.url)
    monkeypatch.setenv("LORAFLEET_WEBHOOK_SECRET", SECRET)
    return gate


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeConsole]:
    with FakeConsole() as server:
        monkeypatch.setenv("LORAFLEET_TOKEN", FakeConsole.token)
        yield server
