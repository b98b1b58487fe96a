"""What the client promises of a save, each promise against a Gate that breaks in that way."""

from typing import Any

import pytest
from gate_samples import APPLICATION, pipeline

from lorafleet.contracts.problems import LorafleetError
from pipelines.gate.client import Gate
from pipelines.gate.normal import normal
from pipelines.gate.plan import Plan, make_plan
from pipelines.gate.push import push
from pipelines.gate.saving import Unknown
from tests.fake_gate.gate import FakeGate, Fault

SAVE = "POST /pipelines"


def planned(client: Gate, *wanted: dict[str, Any], prune: bool = False, secret: str | None = None) -> Plan:
    held = client.pipelines("lora-trainer")
    return make_plan(APPLICATION, wanted, client.application("lora-trainer"), held, prune=prune, secret=secret)


def pushed(client: Gate, *wanted: dict[str, Any], prune: bool = False) -> list[str]:
    done: list[str] = []
    push(client, planned(client, *wanted, prune=prune), None, lambda change: done.append(f"{change.action} {change.name}"))
    return done


def test_a_push_makes_the_application_and_pipelines_and_a_second_one_does_nothing(gate: FakeGate, client: Gate) -> None:
    assert sorted(pushed(client, pipeline(), pipeline("rollback", 2))) == ["create release", "create rollback"]
    assert gate.applications["lora-trainer"]["email"] == "lora@example.org"
    assert normal(gate.named("release")) == normal(pipeline())
    gate.calls.clear()
    assert planned(client, pipeline(), pipeline("rollback", 2)).empty
    assert pushed(client, pipeline(), pipeline("rollback", 2)) == []
    assert not [call for call in gate.calls if call.method != "GET"]


def test_hundreds_of_pipelines_are_pushed(gate: FakeGate, client: Gate) -> None:
    many = [pipeline(f"p{number}", number) for number in range(200)]
    assert len(pushed(client, *many)) == 200
    assert planned(client, *many).empty


def test_half_a_bulk_is_told_and_the_same_push_does_the_rest(gate: FakeGate, client: Gate) -> None:
    many = [pipeline(f"p{number}", number) for number in range(20)]
    gate.before_save = lambda saved: refuse(gate, saved, int(saved["name"][1:]) % 2 == 1)
    with pytest.raises(LorafleetError) as raised:
        pushed(client, *many)
    assert len(raised.value.problems) == 10
    assert len(gate.pipelines) == 10
    gate.before_save = None
    assert len(pushed(client, *many)) == 10
    assert planned(client, *many).empty


def refuse(gate: FakeGate, saved: dict[str, Any], when: bool) -> None:
    if when:
        saved["name"] = ""


def test_a_save_whose_answer_is_lost_is_read_back_and_not_posted_again(gate: FakeGate, client: Gate) -> None:
    gate.faults = [Fault(SAVE, "lose")]
    assert pushed(client, pipeline()) == ["create release"]
    assert len(gate.called(SAVE)) == 1


@pytest.mark.parametrize("fault", [Fault(SAVE, "drop"), Fault(SAVE, status=502), Fault(SAVE, status=429)], ids=str)
def test_a_save_that_was_not_done_is_posted_again_after_a_read_back(gate: FakeGate, client: Gate, fault: Fault) -> None:
    gate.faults = [fault]
    assert pushed(client, pipeline()) == ["create release"]
    lines = [call.line for call in gate.calls]
    first, second = (index for index, line in enumerate(lines) if line == SAVE)
    assert "GET /applications/lora-trainer/pipelineConfigs/release" in lines[first + 1 : second]


def test_a_save_that_takes_longer_than_gate_waits_is_followed_to_its_end(gate: FakeGate, client: Gate) -> None:
    gate.faults = [Fault(SAVE, "late", polls=3)]
    assert pushed(client, pipeline()) == ["create release"]
    assert len(gate.called(SAVE)) == 1
    assert len(gate.called(r"GET /tasks/.*")) >= 4


def test_a_late_save_that_fails_says_why(gate: FakeGate, client: Gate) -> None:
    gate.applications["lora-trainer"] = dict(APPLICATION)
    gate.faults = [Fault(SAVE, "late", polls=1)]
    gate.before_save = lambda saved: refuse(gate, saved, True)
    with pytest.raises(LorafleetError, match=r"'release' was not saved.*requires name and application"):
        pushed(client, pipeline())


def test_a_save_that_nobody_can_read_back_is_unknown(gate: FakeGate, client: Gate) -> None:
    plan = planned(client, pipeline())
    reads = r"GET /applications/lora-trainer/pipelineConfigs/release"
    gate.faults = [Fault(SAVE, "lose")]
    gate.before_save = lambda _saved: gate.faults.append(Fault(reads, times=100, status=503))
    with pytest.raises(LorafleetError, match="not known whether 'release' was saved") as raised:
        push(client, plan, None)
    assert raised.value.exit_code == Unknown.exit_code
    assert len(gate.called(SAVE)) == 1


def test_what_somebody_changed_since_the_plan_is_not_overwritten(gate: FakeGate, client: Gate) -> None:
    gate.put(pipeline())
    plan = planned(client, pipeline(description="new"))
    gate.edit("release", description="by hand")
    with pytest.raises(LorafleetError, match="'release' was changed in Gate since the plan was made, last by alice") as raised:
        push(client, plan, None)
    assert str(raised.value).endswith("(make a new plan)")
    assert gate.named("release")["description"] == "by hand"
    assert not gate.called(SAVE)


def test_saving_the_same_again_since_the_plan_is_no_change(gate: FakeGate, client: Gate) -> None:
    gate.put(pipeline())
    plan = planned(client, pipeline(description="new"))
    gate.edit("release")
    push(client, plan, None)
    assert gate.named("release")["description"] == "new"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda gate: gate.pipelines.clear(), "'release' was deleted or renamed in Gate since the plan"),
        (lambda gate: gate.edit("release", name="mine"), "'release' was deleted or renamed in Gate since the plan"),
    ],
)
def test_what_is_gone_since_the_plan_is_not_made_anew(spoil: Any, words: str, gate: FakeGate, client: Gate) -> None:
    gate.put(pipeline())
    plan = planned(client, pipeline(description="new"))
    spoil(gate)
    with pytest.raises(LorafleetError, match=words):
        push(client, plan, None)


def test_what_came_to_be_since_the_plan_is_not_overwritten(gate: FakeGate, client: Gate) -> None:
    plan = planned(client, pipeline())
    gate.put(pipeline(tags=[]), by="alice")
    with pytest.raises(LorafleetError, match="'release' came to be in Gate since the plan was made, last by alice"):
        push(client, plan, None)


def test_an_edit_in_the_last_moment_is_refused_by_gates_stale_check(gate: FakeGate, client: Gate) -> None:
    gate.put(pipeline())
    plan = planned(client, pipeline(description="new"))
    gate.before_save = edit_once(gate, "release")
    with pytest.raises(LorafleetError, match="'release' was changed in Gate since the plan was made, last by alice"):
        push(client, plan, None)
    assert gate.named("release")["description"] == "by hand"
    assert gate.called(SAVE)[0].query == {"staleCheck": ["true"]}


def test_an_edit_just_after_the_save_is_told(gate: FakeGate, client: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    gate.put(pipeline())
    plan = planned(client, pipeline(description="new"))
    saved = gate.save

    def save(stored: dict[str, Any], *, stale_check: bool) -> None:
        saved(stored, stale_check=stale_check)
        gate.edit("release", description="by hand")

    monkeypatch.setattr(gate, "save", save)
    with pytest.raises(LorafleetError, match="somebody changed it at the same time, last by alice"):
        push(client, plan, None)


def edit_once(gate: FakeGate, name: str) -> Any:
    def edit(_saved: dict[str, Any]) -> None:
        gate.before_save = None
        gate.edit(name, description="by hand")

    return edit


def test_a_name_taken_behind_our_back_is_told_as_that(gate: FakeGate, client: Gate) -> None:
    plan = planned(client, pipeline())
    gate.applications["lora-trainer"] = dict(APPLICATION)

    def take(_saved: dict[str, Any]) -> None:
        gate.before_save = None
        gate.put(pipeline("Release", 9, tags=[]))

    gate.before_save = take
    with pytest.raises(LorafleetError, match="has a pipeline 'Release' with another id; Gate said: A pipeline with name"):
        push(client, plan, None)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("403 ", "the credentials may not write to lora-trainer"),
        ("Access is denied", "the credentials may not write to lora-trainer"),
        ("The submitted pipeline is stale", "Gate holds a newer version"),
        ("422 ", "Gate still holds what it did before; Gate said: 422"),
        ("", "Gate did not say why.*look for the task 'Save pipeline'"),
    ],
)
def test_gates_one_400_is_told_apart(message: str, words: str, gate: FakeGate, client: Gate) -> None:
    gate.faults = [Fault(SAVE, status=400, body=f'{{"status": 400, "message": "{message}"}}')]
    with pytest.raises(LorafleetError, match=words):
        pushed(client, pipeline())
    assert len(gate.called(SAVE)) == 1


def test_prune_deletes_what_has_our_tag_and_nothing_else(gate: FakeGate, client: Gate) -> None:
    gate.put(pipeline("old", 7))
    gate.put(pipeline("theirs", 8, tags=[]))
    assert pushed(client, pipeline()) == ["create release"]
    assert {one["name"] for one in gate.pipelines.values()} == {"old", "theirs", "release"}
    assert pushed(client, pipeline(), prune=True) == ["delete old"]
    assert {one["name"] for one in gate.pipelines.values()} == {"theirs", "release"}


def test_a_pipeline_that_changed_since_the_plan_is_not_pruned(gate: FakeGate, client: Gate) -> None:
    gate.put(pipeline("old", 7))
    plan = planned(client, prune=True)
    gate.edit("old", tags=[])
    with pytest.raises(LorafleetError, match="'old' was changed in Gate since the plan"):
        push(client, plan, None)
    assert not gate.called("DELETE .*")


def test_a_rename_keeps_the_id_and_frees_the_name_first(gate: FakeGate, client: Gate) -> None:
    gate.put(pipeline("release", 1))
    assert pushed(client, pipeline("release", 2), pipeline("release-old", 1)) == ["update release-old", "create release"]
    assert {one["id"][-1]: one["name"] for one in gate.pipelines.values()} == {"1": "release-old", "2": "release"}


def test_an_edit_that_an_older_front50_overwrites_was_made_in_the_last_moment(gate: FakeGate, client: Gate) -> None:
    # Before September 2026 the stale check was inert: what is left is the moment between our read and our save.
    gate.put(pipeline())
    gate.stale_check_works = False
    plan = planned(client, pipeline(description="new"))
    gate.before_save = edit_once(gate, "release")
    push(client, plan, None)
    assert gate.named("release")["description"] == "new"


def test_a_save_that_gate_only_claims_is_told(gate: FakeGate, client: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    gate.put(pipeline())
    plan = planned(client, pipeline(description="new"))
    monkeypatch.setattr(gate, "save", lambda _saved, *, stale_check: None)
    with pytest.raises(LorafleetError, match="Gate said that 'release' was saved, but does not show it"):
        push(client, plan, None)


def test_a_pruning_plan_is_carried_out_twice_without_harm(gate: FakeGate, client: Gate) -> None:
    gate.put(pipeline("old", 7))
    plan = planned(client, prune=True)
    gate.faults = [Fault("DELETE .*", "lose")]
    push(client, plan, None)
    assert not gate.pipelines
    push(client, plan, None)
    assert len(gate.called("DELETE .*")) == 2


def test_a_save_that_is_forbidden_is_told_at_once(gate: FakeGate, client: Gate) -> None:
    gate.applications["lora-trainer"] = dict(APPLICATION)
    gate.put(pipeline())
    plan = planned(client, pipeline(description="new"))
    gate.calls.clear()
    gate.faults = [Fault(SAVE, status=403, body='{"message": "Access is denied"}')]
    with pytest.raises(LorafleetError, match=r"Gate does not allow this \(403\): Access is denied"):
        push(client, plan, None)
    assert [call.method for call in gate.calls] == ["GET", "POST", "GET"]
