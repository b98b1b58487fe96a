"""``lorafleet release run`` and ``watch`` as they are typed, against a Gate and a console on loopback."""

import json
from pathlib import Path
from typing import Any

import pytest
from gate_samples import DIGEST, FLEET, ROOT, Called, compact, one
from gate_samples import FLEET_APPLICATION as APPLICATION

from lorafleet.contracts.outcomes import ExitCode
from lorafleet.contracts.release_api import Registration
from pipelines.releasing import echo_lag
from tests.fake_gate.console import FakeConsole
from tests.fake_gate.gate import FakeGate, Fault


def test_run_registers_starts_and_waits(release: Called, at_gate: FakeGate, console: FakeConsole) -> None:
    release("push", FLEET)
    code, out, _ = release("run", FLEET, "--digest", DIGEST, "--console", console.url, "--wait")
    assert code == 0
    (registered,) = console.registered
    registration = Registration.model_validate(registered)
    assert (registration.digest, registration.application) == (DIGEST, APPLICATION)
    assert [site.site for site in registration.sites] == ["aws-eu-central-1", "gcp-us-west1", "azure-westeurope"]
    assert registration.quorum == 2
    (started,) = at_gate.called("POST /pipelines/v2/.*")
    assert started.path == f"/pipelines/v2/{APPLICATION}/release"
    assert started.body["parameters"] == {"image_digest": DIGEST, "release": "r1", "console_token": "token-of-r1"}
    assert "token-of-r1" not in out
    assert "release succeeded after 1s" in out
    assert not console.revoked


def test_run_prints_where_to_look(release: Called, at_gate: FakeGate, console: FakeConsole) -> None:
    release("push", FLEET)
    _, out, _ = release("run", FLEET, "--digest", DIGEST, "--console", console.url, "--json")
    execution = json.loads(out)["execution"]
    assert execution in at_gate.executions
    code, out, _ = release("watch", execution, "--json")
    assert code == 0
    assert json.loads(out.splitlines()[-1])["status"] == "SUCCEEDED"


def test_a_run_that_ends_badly_ends_with_code_1(release: Called, at_gate: FakeGate, console: FakeConsole) -> None:
    release("push", FLEET)
    failed = {"id": "i", "refId": "w", "name": "Watch 10% aws", "type": "webhook", "status": "TERMINAL"}
    at_gate.first_snapshot = lambda start: [{**start, "status": "TERMINAL", "stages": [failed]}]
    code, _, lines = release("run", FLEET, "--digest", DIGEST, "--console", console.url, "--wait")
    assert code == ExitCode.FAILED
    assert one(lines) == f"error: {APPLICATION}/release ended TERMINAL: Watch 10% aws"


def test_a_start_whose_answer_is_lost_is_found_again(release: Called, at_gate: FakeGate, console: FakeConsole) -> None:
    release("push", FLEET)
    at_gate.faults = [Fault("POST /pipelines/v2/.*", "lose")]
    code, out, _ = release("run", FLEET, "--digest", DIGEST, "--console", console.url, "--json")
    assert code == 0
    assert list(at_gate.executions) == [json.loads(out)["execution"]]
    assert not console.revoked


@pytest.mark.parametrize("fault", ["drop", "answer"])
def test_a_release_that_was_not_started_is_taken_back(fault: Any, release: Called, at_gate: FakeGate, console: FakeConsole) -> None:
    release("push", FLEET)
    at_gate.faults = [Fault("POST /pipelines/v2/.*", fault, status=403)]
    code, _, lines = release("run", FLEET, "--digest", DIGEST, "--console", console.url)
    assert code != 0
    assert one(lines)
    assert console.revoked == ["r1"]
    assert not at_gate.executions


def test_a_release_that_is_registered_already_needs_its_token_only(
    release: Called, at_gate: FakeGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    release("push", FLEET)
    arguments = ("run", FLEET, "--digest", DIGEST, "--release", "r7")
    assert "set LORAFLEET_RELEASE_TOKEN" in one(release(*arguments)[2])
    monkeypatch.setenv("LORAFLEET_RELEASE_TOKEN", "own")
    assert release(*arguments)[0] == 0
    (started,) = at_gate.called("POST /pipelines/v2/.*")
    assert started.body["parameters"] == {"image_digest": DIGEST, "release": "r7", "console_token": "own"}


def test_nothing_is_registered_where_gate_holds_something_else(release: Called, at_gate: FakeGate, console: FakeConsole) -> None:
    arguments = ("run", FLEET, "--digest", DIGEST, "--console", console.url)
    code, _, lines = release(*arguments)
    assert code == ExitCode.CONFIG
    assert f"Gate does not hold release and rollback of {APPLICATION} as this spec says (lorafleet release push, then run)" in one(
        lines
    )
    release("push", FLEET)
    at_gate.put({**at_gate.named("rollback", APPLICATION), "disabled": True})
    assert f"Gate does not hold rollback of {APPLICATION}" in one(release(*arguments)[2])
    assert not console.registered


def test_the_compact_form_is_pushed_once_and_run_with_any_digest(
    release: Called, at_gate: FakeGate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORAFLEET_TOKEN", FakeConsole.token)
    # Nobody calls the example's console.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    arguments = ("--sites", ROOT / "sites", "--console", "https://fleet.example.org", "--digest")
    assert release("push", compact(tmp_path), *arguments, DIGEST)[0] == 0
    code, _, lines = release("run", compact(tmp_path), *arguments, f"sha256:{'b' * 64}")
    # It came as far as the registration, so Gate's pipelines were found good.
    assert code == ExitCode.UNAVAILABLE
    assert "the console at https://fleet.example.org cannot be reached through the proxy" in one(lines)


def test_the_consoles_refusals_are_one_line(
    release: Called, at_gate: FakeGate, console: FakeConsole, monkeypatch: pytest.MonkeyPatch
) -> None:
    release("push", FLEET)
    arguments = ("run", FLEET, "--digest", DIGEST, "--console", console.url)
    console.answer = (409, {"detail": "another candidate is on its way"})
    assert "the console refuses this (409): another candidate is on its way" in one(release(*arguments)[2])
    console.answer = (200, {"hello": "world"})
    assert "sent something else than a release" in one(release(*arguments)[2])
    console.answer = None
    monkeypatch.setenv("LORAFLEET_TOKEN", "wrong-s3cr3t")
    line = one(release(*arguments)[2])
    assert "the console does not accept the credentials (401): this token is not known" in line
    assert "s3cr3t" not in line
    monkeypatch.delenv("LORAFLEET_TOKEN")
    assert "a releaser's token is not given (set LORAFLEET_TOKEN or LORAFLEET_TOKEN_FILE)" in one(release(*arguments)[2])
    assert not at_gate.called("POST /pipelines/v2/.*")


@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [("1000000000", 30.0), ("999990000", 20.0), ("999969000", 0.0), ("1000005000", 30.0), (None, 0.0), ("soon", 0.0)],
)
def test_a_pipeline_that_was_saved_just_now_is_given_the_time_until_echo_knows_it(stamp: Any, seconds: float) -> None:
    assert echo_lag({"updateTs": stamp}, now=1_000_000.0) == seconds
