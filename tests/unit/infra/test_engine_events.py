"""What is shown of the engine's events, and what never is."""

import json
from typing import Any

import pytest
from pulumi.automation.events import EngineEvent

from infra.engine.drift import changes
from infra.engine.events import Finding, Message, Step, Summary, Told, reading
from infra.engine.showing import JsonLines, Lines, line_of

URN = "urn:pulumi:s::lorafleet::lorafleet:x:Y$kubernetes:core/v1:Secret::enrolment"
VERY_SECRET = "hunter2-hunter2"


def event(kind: str, **fields: Any) -> EngineEvent:
    made: EngineEvent = EngineEvent.from_json({"sequence": 1, "timestamp": 1, kind: fields})
    return made


def step(kind: str, op: str, **fields: Any) -> EngineEvent:
    planning = fields.pop("planning", False)
    metadata = {"op": op, "urn": URN, "type": "kubernetes:core/v1:Secret", "provider": "p", **fields}
    return event(kind, metadata=metadata, planning=planning)


def told(*events: EngineEvent) -> list[Told]:
    return [each for one in events for each in reading(one)]


def state(**outputs: Any) -> dict[str, Any]:
    return {"type": "t", "urn": URN, "id": "i", "inputs": outputs, "outputs": outputs, "provider": "p", "parent": ""}


def test_a_step_from_its_plan_to_its_end() -> None:
    found = told(
        step("resourcePreEvent", "create", planning=True),
        step("resOutputsEvent", "create", planning=True),
        step("resourcePreEvent", "create"),
        step("resOutputsEvent", "create"),
        step("resOpFailedEvent", "update"),
    )
    assert [(each.phase, each.op) for each in found if isinstance(each, Step)] == [
        ("planned", "create"),
        ("begun", "create"),
        ("done", "create"),
        ("failed", "update"),
    ]


@pytest.mark.parametrize("op", ["same", "read", "refresh"])
def test_what_changes_nothing_is_not_told(op: str) -> None:
    assert told(step("resourcePreEvent", op), step("resOutputsEvent", op)) == []


def test_values_are_never_told_only_the_names_of_what_changed(capsys: pytest.CaptureFixture[str]) -> None:
    secret = state(data={"token": VERY_SECRET})
    detailed = {"data.token": {"diffKind": "update", "inputDiff": True}}
    one = step("resOutputsEvent", "update", old=secret, new=secret, detailedDiff=detailed, diffs=["data"])
    [found] = told(one)
    assert isinstance(found, Step)
    assert found.changed == ("data.token",)
    JsonLines().told(found)
    Lines().told(found)
    out = capsys.readouterr().out
    assert "data.token" in out
    assert VERY_SECRET not in out


def test_words_of_the_engine() -> None:
    found = told(
        event("diagnosticEvent", message="<{%reset%}>no way\n", severity="error", urn=URN, color="never", ephemeral=False),
        event("diagnosticEvent", message="almost", severity="error", urn=URN, color="never", ephemeral=True),
        event("diagnosticEvent", message="hm", severity="info", urn=URN, color="never", ephemeral=False),
        event(
            "policyEvent",
            resourceUrn=URN,
            message="a bucket without versions",
            color="never",
            policyName="LFP101",
            policyPackName="p",
            policyPackVersion="1",
            policyPackVersionTag="1",
            enforcementLevel="mandatory",
        ),
        event("summaryEvent", maybeCorrupt=False, durationSeconds=3, resourceChanges={"create": 2, "same": 4}, PolicyPacks={}),
    )
    assert found == [
        Message("error", "no way", "enrolment"),
        Finding("LFP101", True, "a bucket without versions", "enrolment"),
        Summary({"create": 2, "same": 4}, 3),
    ]
    assert isinstance(found[2], Summary)
    assert found[2].changing == 2
    assert [line_of(each) for each in found] == [
        "  error: no way (enrolment)",
        "  policy LFP101: a bucket without versions (enrolment)",
        "  2 create, 4 same in 3 s",
    ]


def test_json_lines_name_their_stack(capsys: pytest.CaptureFixture[str]) -> None:
    show = JsonLines()
    show.stack("up", "local-incluster")
    show.told(Summary({"create": 2}, 3))
    show.say("done")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["event"], each["stack"]) for each in lines] == [
        ("stack", "local-incluster"),
        ("summary", "local-incluster"),
        ("note", "local-incluster"),
    ]
    assert lines[1]["changes"] == {"create": 2}


def drifted(old: dict[str, Any] | None, new: dict[str, Any] | None, kind: str = "kubernetes:apps/v1:Deployment") -> list[str]:
    fields: dict[str, Any] = {"type": kind}
    if old is not None:
        fields["old"] = state(**old)
    if new is not None:
        fields["new"] = state(**new)
    one = step("resOutputsEvent", "delete" if new is None else "update", planning=True, **fields)
    assert one.res_outputs_event is not None
    return [str(change).removeprefix(f"s: {kind} enrolment") for change in changes("s", one.res_outputs_event.metadata)]


def test_a_change_by_hand_is_told_with_both_values() -> None:
    assert drifted({"spec": {"replicas": 2}}, {"spec": {"replicas": 5}}) == [": spec.replicas was 2 and is 5"]
    assert drifted({"spec": {"args": ["a"]}}, {"spec": {"args": ["a", "b"]}}) == [": spec.args[1] was added: b"]
    assert drifted({"spec": {"a": 1, "b": 2}}, {"spec": {"a": 1}}) == [": spec.b was removed: 2"]
    assert drifted({"spec": {"a": 1}}, None) == [" is gone"]


def test_what_the_cluster_writes_itself_is_no_change_by_hand() -> None:
    before = {"status": {"x": 1}, "metadata": {"resourceVersion": "1", "managedFields": [{"a": 1}]}}
    after = {"status": {"x": 2}, "metadata": {"resourceVersion": "2", "managedFields": [{"a": 2}]}}
    assert drifted(before, after) == []


@pytest.mark.parametrize(
    ("kind", "path"),
    [("kubernetes:core/v1:Secret", "data"), ("aws:x:Y", "masterPassword"), ("kubernetes:core/v1:Pod", "apiToken")],
)
def test_a_secret_that_changed_is_told_without_its_value(kind: str, path: str) -> None:
    [line] = drifted({path: VERY_SECRET}, {path: f"{VERY_SECRET}!"}, kind)
    assert path in line
    assert VERY_SECRET not in line
