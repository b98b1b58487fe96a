import io
import json
import os
import pty
import threading
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from lorafleet.contracts.problems import LorafleetError
from pipelines.gate.client import Gate
from pipelines.gate.execution import Run, StageRun, read_execution
from pipelines.gate.execution_view import showing, that_fit, time_of, tree
from pipelines.gate.watching import follow, raise_unless_good
from pipelines.rest import Forbidden, Unwell
from tests.fake_gate.gate import FakeGate, Fault

POLL = r"GET /pipelines/.*"


def stage(ref: str, status: str = "NOT_STARTED", *after: str, **more: Any) -> dict[str, Any]:
    return {
        "id": f"id-{ref}",
        "refId": ref,
        "requisiteStageRefIds": list(after),
        "type": "wait",
        "name": ref.title(),
        "status": status,
        "context": {},
        **more,
    }


def execution(status: str, *stages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": "01E",
        "application": "lora-trainer",
        "name": "release",
        "status": status,
        "startTime": 1_000_000,
        "stages": list(stages),
        **more,
    }


def test_stages_stand_after_those_that_they_wait_for_and_children_under_their_parents() -> None:
    run = read_execution(
        execution(
            "RUNNING",
            stage("promote", "NOT_STARTED", "watch"),
            stage("before", "SUCCEEDED", parentStageId="id-watch", syntheticStageOwner="STAGE_BEFORE"),
            stage("watch", "RUNNING", "deploy", startTime=1_010_000, context={"stageTimeoutMs": 58_000}),
            stage("deploy", "SUCCEEDED", startTime=1_000_000, endTime=1_009_500),
        )
    )
    assert [(one.name, one.depth) for one in run.stages] == [("Deploy", 0), ("Watch", 0), ("Before", 1), ("Promote", 0)]
    deploy, watch, _, promote = run.stages
    assert deploy.took(5000.0) == 9.5
    assert (watch.took(1040.0), watch.limit) == (30.0, 58.0)
    assert promote.took(5000.0) is None
    assert time_of(watch, 1040.0).plain == "30s of 58s"
    assert time_of(watch, 1060.0).style == "yellow"


@settings(deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "id": st.sampled_from("abcdef"),
                "refId": st.sampled_from("123456"),
                "requisiteStageRefIds": st.lists(st.sampled_from("123456789"), max_size=3),
            },
            optional={"parentStageId": st.sampled_from("abcdef"), "status": st.sampled_from(["RUNNING", "SUCCEEDED"])},
        ),
        max_size=8,
    )
)
def test_circles_and_twins_end_and_each_top_stage_is_shown_once(stages: Any) -> None:
    run = read_execution({"stages": stages})
    assert sum(one.depth == 0 for one in run.stages) == sum("parentStageId" not in one for one in stages)


@pytest.mark.parametrize(
    ("more", "detail"),
    [
        ({"context": {"exception": {"details": {"errors": ["image\n not found"]}}}}, "image not found"),
        ({"context": {"exception": {"details": {"error": "Unexpected"}}}}, "Unexpected"),
        ({"context": {"webhook": {"monitor": {"error": "503"}}}}, "503"),
        ({"context": {"webhook": {"monitor": {"progressMessage": "12 of 20 samples"}}}}, "12 of 20 samples"),
        ({"context": {"kato.tasks": [{}, {"exception": {"message": "quota"}}]}}, "quota"),
        ({"context": {"exception": None, "webhook": "x", "kato.tasks": []}}, ""),
        ({"type": "manualJudgment", "status": "RUNNING"}, "waits for a person"),
        ({"context": None}, ""),
    ],
)
def test_why_a_stage_failed_is_found(more: dict[str, Any], detail: str) -> None:
    (found,) = read_execution(execution("RUNNING", {**stage("x"), **more})).stages
    assert found.detail == detail


def test_an_execution_of_nothing_is_read_too() -> None:
    assert read_execution({}) == Run("", "", "", "NOT_STARTED", None, None, ())


def snapshots() -> list[dict[str, Any]]:
    return [
        execution("RUNNING", stage("deploy", "RUNNING", startTime=1_000_000), stage("watch", "NOT_STARTED", "deploy")),
        execution(
            "RUNNING",
            stage("deploy", "SUCCEEDED", startTime=1_000_000, endTime=1_006_000),
            stage("watch", "RUNNING", "deploy", startTime=1_006_000),
        ),
        execution(
            "TERMINAL",
            stage("deploy", "SUCCEEDED", startTime=1_000_000, endTime=1_006_000),
            stage(
                "watch",
                "TERMINAL",
                "deploy",
                startTime=1_006_000,
                endTime=1_010_000,
                context={"webhook": {"monitor": {"error": "errorRate 6%"}}},
            ),
            endTime=1_010_000,
        ),
    ]


def test_an_execution_is_followed_to_its_end(gate: FakeGate, client: Gate) -> None:
    gate.executions["01E"] = snapshots()
    seen: list[Run] = []
    ended = follow(client, "01E", seen.append)
    assert [run.status for run in seen] == ["RUNNING", "RUNNING", "TERMINAL"]
    with pytest.raises(LorafleetError, match=r"lora-trainer/release ended TERMINAL: Watch \(errorRate 6%\)"):
        raise_unless_good(ended)


def test_a_gate_that_is_away_for_a_while_is_waited_for(gate: FakeGate, client: Gate) -> None:
    gate.executions["01E"] = [execution("SUCCEEDED")]
    gate.faults = [Fault(POLL, status=503, times=10), Fault(POLL, "drop", times=5)]
    raise_unless_good(follow(client, "01E", lambda _run: None))
    assert len(gate.called(POLL)) > 15


def test_a_gate_that_stays_away_is_given_up(gate: FakeGate, client: Gate) -> None:
    gate.faults = [Fault(POLL, status=503, times=1000)]
    with pytest.raises(Unwell):
        follow(client, "01E", lambda _run: None, patience=0.0)


def test_no_such_execution_and_no_right_to_look_end_at_once(gate: FakeGate, client: Gate) -> None:
    with pytest.raises(LorafleetError, match="Gate knows no execution 'x'"):
        follow(client, "x", lambda _run: None)
    gate.accepts = lambda _headers: 403
    with pytest.raises(Forbidden):
        follow(client, "x", lambda _run: None)


def test_a_log_gets_a_line_for_each_change() -> None:
    out = io.StringIO()
    with showing(as_json=False, console=Console(file=out, highlight=False, width=200)) as show:
        for state in snapshots():
            show(read_execution(state))
            show(read_execution(state))
    lines = out.getvalue().splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["running", "Deploy"],
        ["lora-trainer/release", "running"],
        ["succeeded", "Deploy"],
        ["running", "Watch"],
        ["terminal", "Watch"],
        ["lora-trainer/release", "terminal"],
    ]
    assert lines[4].endswith("Watch  4s: errorRate 6%")
    assert lines[5] == "lora-trainer/release terminal after 10s"


def test_a_machine_gets_a_json_line_for_each_change(capsys: pytest.CaptureFixture[str]) -> None:
    with showing(as_json=True) as show:
        for state in snapshots():
            show(read_execution(state))
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(event["event"], event["status"]) for event in events] == [
        ("stage", "RUNNING"),
        ("execution", "RUNNING"),
        ("stage", "SUCCEEDED"),
        ("stage", "RUNNING"),
        ("stage", "TERMINAL"),
        ("execution", "TERMINAL"),
    ]


def read_all(master: int, pieces: list[bytes]) -> None:
    # Linux ends a pseudo-terminal whose other side is closed with an error.
    with suppress(OSError):
        while piece := os.read(master, 65_536):
            pieces.append(piece)


def test_a_terminal_shows_a_tree_and_keeps_the_last_state() -> None:
    master, slave = pty.openpty()
    pieces: list[bytes] = []
    reader = threading.Thread(target=read_all, args=(master, pieces))
    reader.start()
    with os.fdopen(slave, "w", encoding="utf-8") as terminal:
        console = Console(file=terminal, force_terminal=True, width=100, height=24)
        with showing(as_json=False, console=console) as show:
            for state in snapshots():
                show(read_execution(state))
    reader.join()
    os.close(master)
    text = b"".join(pieces).decode()
    last = text[text.rindex("release terminal") :]
    assert "✔ Deploy" in last
    assert "✘ Watch" in last
    assert "errorRate 6%" in last


def run_of(*statuses: str) -> list[StageRun]:
    return [StageRun(str(number), f"s{number}", "wait", status, ended=float(number)) for number, status in enumerate(statuses)]


def test_of_a_long_run_a_small_terminal_shows_what_matters_now() -> None:
    stages = run_of(*["SUCCEEDED"] * 30, "SKIPPED", "RUNNING", "FAILED_CONTINUE", *["NOT_STARTED"] * 30)
    shown = that_fit(stages, 5)
    assert [one.name for one in shown] == ["s31", "s32", "s33", "s34", "s35"]
    assert [one.name for one in that_fit(run_of("SUCCEEDED", "SKIPPED", "SUCCEEDED", "RUNNING"), 2)] == ["s2", "s3"]
    console = Console(file=io.StringIO(), width=80)
    with console.capture() as capture:
        console.print(tree(Run("1", "a", "p", "RUNNING", 0.0, None, tuple(stages)), 9.0, height=9))
    assert "and 58 more stages" in capture.get()
    assert len(capture.get().splitlines()) <= 9


@settings(deadline=None)
@given(st.lists(st.sampled_from(["SUCCEEDED", "SKIPPED", "RUNNING", "NOT_STARTED", "TERMINAL"]), max_size=40), st.integers(-5, 50))
def test_what_fits_is_in_order_and_never_too_long(statuses: list[str], lines: int) -> None:
    stages = run_of(*statuses)
    shown = that_fit(stages, lines)
    assert len(shown) == min(len(stages), max(1, lines))
    assert [int(one.id) for one in shown] == sorted(int(one.id) for one in shown)
