"""The simulated Orca itself, against what was seen on the real one: the proofs beside it are worth as much as this is true."""

from collections.abc import Mapping
from typing import Any

import pytest
from simulated_orca import Orca
from simulated_spel import SpelError, evaluate, interpolate

from pipelines.model.failure import FailureStrategy


class Nothing:
    """A world in which stages take a second and the named ones fail."""

    def __init__(self, *fails: str) -> None:
        self.fails = frozenset(fails)

    def act(self, orca: Orca, stage: Mapping[str, Any]) -> tuple[float, bool] | None:
        return stage.get("takes", 1.0), stage["refId"] not in self.fails

    def ended(self, orca: Orca, stage: Mapping[str, Any], well: bool) -> None:
        pass


def stage(ref: str, *parents: str, failure: FailureStrategy = FailureStrategy.HALT_PIPELINE, **more: Any) -> dict[str, Any]:
    base = {"refId": ref, "name": ref.upper(), "type": "noop", "requisiteStageRefIds": list(parents), "stageTimeoutMs": 60_000}
    return {**base, **failure.to_json(), **more}


def run(*stages: dict[str, Any], fails: tuple[str, ...] = ()) -> Orca:
    orca = Orca({"stages": stages, "parameterConfig": []}, {"parameters": {}}, Nothing(*fails))
    orca.run()
    return orca


def on(expression: str) -> dict[str, Any]:
    return {"stageEnabled": {"type": "expression", "expression": expression}}


def test_no_flags_end_the_run_and_cancel_what_runs() -> None:
    orca = run(stage("a"), stage("b", takes=30.0), stage("c", "a"), fails=("a",))
    assert (orca.result, orca.status) == ("TERMINAL", {"a": "TERMINAL", "b": "CANCELED", "c": "NOT_STARTED"})


def test_an_ignored_failure_goes_on_and_ends_green() -> None:
    orca = run(stage("a", failure=FailureStrategy.IGNORE), stage("b", "a"), fails=("a",))
    assert (orca.result, orca.status) == ("SUCCEEDED", {"a": "FAILED_CONTINUE", "b": "SUCCEEDED"})


@pytest.mark.parametrize(
    ("failure", "result"), [(FailureStrategy.HALT_BRANCH, "SUCCEEDED"), (FailureStrategy.HALT_BRANCH_THEN_FAIL, "TERMINAL")]
)
def test_a_halted_branch_lets_the_others_end(failure: FailureStrategy, result: str) -> None:
    orca = run(stage("a", failure=failure), stage("b", takes=30.0), fails=("a",))
    assert (orca.result, orca.status["b"]) == (result, "SUCCEEDED")


def test_a_join_behind_a_halted_branch_never_starts() -> None:
    orca = run(stage("a", failure=FailureStrategy.HALT_BRANCH), stage("b"), stage("c", "a", "b"), fails=("a",))
    assert (orca.result, orca.status["c"]) == ("STUCK", "NOT_STARTED")


def test_a_dangling_edge_is_stuck() -> None:
    assert run(stage("a"), stage("b", "nowhere")).result == "STUCK"


@pytest.mark.parametrize(
    ("expression", "status"),
    [
        ("#stage('A')['status'].toString() == 'SUCCEEDED'", "SUCCEEDED"),
        ("#stage('A')['status'].toString() != 'SUCCEEDED'", "SKIPPED"),
        ("#stage('a')['status'].toString() == 'SUCCEEDED'", "SKIPPED"),
        ("#stage('A').hasFailed", "SKIPPED"),
        ("unknown == 'x'", "SKIPPED"),
    ],
)
def test_a_condition_that_is_false_or_wrong_skips(expression: str, status: str) -> None:
    assert run(stage("a"), stage("b", "a", **on(expression))).status["b"] == status


def test_a_skipped_stage_is_good_enough_to_go_on() -> None:
    assert run(stage("a", **on("false")), stage("b", "a")).status == {"a": "SKIPPED", "b": "SUCCEEDED"}


def test_a_limit_is_a_failure() -> None:
    assert run(stage("a", takes=61.0)).result == "TERMINAL"


def unknown(name: str) -> str:
    raise SpelError(name)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("('a' == 'a' ? 1 : 0) + ('a' == 'b' ? 1 : 0) >= 1", True),
        ("!('a' == 'a') || 'b' != 'c'", True),
        ("p['none'] ?: 'other'", "other"),
        ("p['empty'] ?: 'other'", "other"),
        ("p['none'] == null ? 'safe' : p['none']['deep']['deeper']", "safe"),
        ("p['text'].substring(1,3)", "el"),
        ("p['text'] matches 'h.*'", True),
        ("p.text matches 'ell'", False),
    ],
)
def test_spel(expression: str, value: object) -> None:
    assert evaluate(expression, {"p": {"text": "hello", "empty": ""}}, unknown) == value


@pytest.mark.parametrize("expression", ["p['none']['deep']", "q", "p['none'] matches 'x'", "1 1", "('a'"])
def test_spel_that_fails(expression: str) -> None:
    with pytest.raises(SpelError):
        evaluate(expression, {"p": {}}, unknown)


def test_interpolation() -> None:
    assert interpolate({"a": ["x-${p.b}-${p.b.substring(0,1)}"]}, {"p": {"b": "cd"}}) == {"a": ["x-cd-c"]}
