import copy
import json
import random
from collections.abc import Iterable
from typing import Any

import pytest
from gate_samples import APPLICATION, SECRET, pipeline
from hypothesis import given, settings
from hypothesis import strategies as st

from lorafleet.contracts.problems import LorafleetError
from pipelines.gate.diff import Difference, Kind, differences
from pipelines.gate.normal import fingerprint, is_ours, normal, same
from pipelines.gate.plan import Action, Plan, make_plan
from pipelines.gate.plan_view import plan_json
from pipelines.gate.push import with_secret
from pipelines.model.triggers import WEBHOOK_SECRET
from tests.fake_gate.gate import FakeGate

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=3), children, max_size=3),
    max_leaves=8,
)
STAGES = st.lists(
    st.fixed_dictionaries(
        {
            "refId": st.integers(0, 9).map(str),
            "requisiteStageRefIds": st.lists(st.integers(0, 9).map(str), unique=True),
            "x": VALUES,
        }
    ),
    max_size=4,
    unique_by=lambda stage: str(stage["refId"]),
)


def plan(*wanted: Any, held: Any = (), prune: bool = False, secret: str | None = None) -> Plan:
    return make_plan(APPLICATION, wanted, APPLICATION, held, prune=prune, secret=secret)


def hooked(value: str, number: int = 2) -> dict[str, Any]:
    constraints = {"secret": value, "status": "firing"}
    hook = {"type": "webhook", "enabled": True, "source": "alerts", "payloadConstraints": constraints}
    return pipeline("rollback", number, triggers=[hook])


@settings(deadline=None)
@given(VALUES, VALUES)
def test_there_are_differences_exactly_where_two_values_are_not_the_same(one: Any, other: Any) -> None:
    assert (not list(differences(one, other))) == same(one, other)
    assert not list(differences(one, copy.deepcopy(one)))


@settings(deadline=None)
@given(VALUES, VALUES)
def test_differences_applied_give_the_other_value(one: Any, other: Any) -> None:
    assert same(applied(copy.deepcopy(one), differences(one, other)), other)


def applied(value: Any, found: Iterable[Difference]) -> Any:
    every = list(found)
    gone = [difference for difference in every if difference.kind is Kind.REMOVED]
    for difference in [*(one for one in every if one.kind is not Kind.REMOVED), *reversed(gone)]:
        if not difference.path:
            return difference.after
        *parents, last = difference.path
        place = value
        for part in parents:
            place = place[part]
        if difference.kind is Kind.REMOVED:
            del place[last]
        elif difference.kind is Kind.ADDED and isinstance(place, list):
            place.append(difference.after)
        else:
            place[last] = difference.after
    return value


@settings(deadline=None)
@given(STAGES, st.randoms())
def test_what_the_server_and_the_web_page_do_to_a_pipeline_is_no_difference(stages: Any, shuffled: random.Random) -> None:
    ours = pipeline(stages=stages, triggers=[{"type": "cron", "enabled": True, "cronExpression": "0 0 10 ? * *"}])
    theirs = copy.deepcopy(ours)
    for stage in theirs["stages"]:
        shuffled.shuffle(stage["requisiteStageRefIds"])
    shuffled.shuffle(theirs["stages"])
    theirs["triggers"][0].update(id="0f3c", expectedArtifactIds=[], runAsUser="x@managed-service-account")
    theirs.update(
        updateTs="1", lastModifiedBy="alice", lastModified=1, createTs=1, index=4, roles=[], description="", disabled=False
    )
    del theirs["schema"]
    assert same(normal(theirs), normal(ours))
    assert fingerprint(theirs) == fingerprint(ours)


@pytest.mark.parametrize(
    "change",
    [
        {"disabled": True},
        {"limitConcurrent": False},
        {"stages": []},
        {"stages": [{**pipeline()["stages"][0], "waitTime": 6}]},
        {"stages": [{**pipeline()["stages"][0], "waitTime": 5.0}]},
        {"triggers": [{"type": "cron", "enabled": True, "cronExpression": "0 0 11 ? * *"}]},
        {"tags": []},
        {"locked": {"ui": True}},
        {"somethingNew": 1},
    ],
    ids=json.dumps,
)
def test_what_somebody_did_is_a_difference(change: dict[str, Any]) -> None:
    assert fingerprint(pipeline(**change)) != fingerprint(pipeline())
    assert list(differences(normal(pipeline(**change)), normal(pipeline())))


def test_what_front50_stores_is_the_same_pipeline(gate: FakeGate) -> None:
    assert fingerprint(gate.put(hooked("<x>"))) == fingerprint(hooked("<x>"))


def test_stages_with_the_same_ref_id_are_both_kept() -> None:
    stage = pipeline()["stages"][0]
    assert len(normal(pipeline(stages=[stage, stage]))["stages"]) == 2


def test_a_plan_tells_what_is_made_changed_and_kept() -> None:
    held = [pipeline("one", 1), pipeline("two", 2, description="old"), pipeline("theirs", 9, tags=[])]
    found = plan(pipeline("one", 1), pipeline("two", 2), pipeline("three", 3), held=held)
    assert [(change.name, change.action) for change in found.changes] == [
        ("one", Action.KEEP),
        ("two", Action.UPDATE),
        ("three", Action.CREATE),
    ]
    (difference,) = found.changes[1].differences
    assert (difference.place, difference.kind, difference.before) == ("description", Kind.REMOVED, "old")
    assert not found.empty
    assert plan(pipeline("one", 1), held=held[:1]).empty


def test_an_application_that_is_there_is_left_as_it_is() -> None:
    theirs = {"name": "lora-trainer", "email": "somebody@example.org"}
    assert make_plan(APPLICATION, [], theirs, []).application.action is Action.KEEP
    assert make_plan(APPLICATION, [], None, []).application.action is Action.CREATE


def test_only_a_pruning_plan_deletes_and_only_what_is_ours() -> None:
    held = [pipeline("old", 7), pipeline("theirs", 8, tags=[]), pipeline("other", 9, tags=[{"name": "managed-by", "value": "x"}])]
    assert plan(held=held).orphans == ("old",)
    assert plan(held=held).empty
    pruning = plan(held=held, prune=True)
    assert [(change.action, change.name) for change in pruning.changes] == [(Action.DELETE, "old")]
    assert not pruning.orphans


def test_a_name_without_our_tag_is_told_and_nothing_is_planned() -> None:
    held = [pipeline("Release", 9, tags=[]), pipeline("rollback", 2, tags=[])]
    with pytest.raises(LorafleetError) as raised:
        plan(pipeline("release", 1), pipeline("rollback", 2), held=held)
    assert [problem.what for problem in raised.value.problems] == [
        "Gate holds a pipeline 'Release' without our tag; it is not touched",
        "Gate holds a pipeline 'rollback' without our tag; it is not touched",
    ]
    assert "managed-by=lorafleet" in raised.value.problems[0].hint


def test_a_rename_to_a_name_that_is_taken_is_told() -> None:
    with pytest.raises(LorafleetError, match="holds 'new' as 'old', and another pipeline has the new name"):
        plan(pipeline("new", 1), held=[pipeline("old", 1), pipeline("NEW", 5)])


def test_the_id_that_gate_knows_a_name_by_is_used_in_references_too() -> None:
    follow = {"type": "pipeline", "enabled": True, "application": "lora-trainer", "pipeline": pipeline("release", 1)["id"]}
    call = {"refId": "call", "requisiteStageRefIds": [], "type": "pipeline", "pipeline": pipeline("rollback", 2)["id"]}
    wanted = [pipeline("release", 1, stages=[call]), pipeline("rollback", 2, triggers=[follow])]
    held = [{**wanted[0], "id": "older-id", "description": "x"}]
    release, rollback = plan(*wanted, held=held).changes
    assert release.pipeline is not None
    assert rollback.pipeline is not None
    assert release.pipeline["id"] == "older-id"
    assert rollback.pipeline["triggers"][0]["pipeline"] == "older-id"
    assert release.pipeline["stages"][0]["pipeline"] == pipeline("rollback", 2)["id"]
    assert wanted[0]["id"] != "older-id"


def test_without_the_secret_the_one_that_gate_holds_counts_as_right() -> None:
    assert plan(hooked(WEBHOOK_SECRET), held=[hooked(SECRET)]).empty


def test_with_the_secret_another_one_is_a_change_that_shows_neither() -> None:
    other = "f" * 32
    assert plan(hooked(WEBHOOK_SECRET), held=[hooked(SECRET)], secret=SECRET).empty
    found = plan(hooked(WEBHOOK_SECRET), held=[hooked(other)], secret=SECRET)
    assert not found.empty
    shown = json.dumps(plan_json(found)) + repr(found)
    assert "another secret" in shown
    assert SECRET not in shown
    assert other not in shown


@pytest.mark.parametrize("held", ["", None, WEBHOOK_SECRET])
@pytest.mark.parametrize("secret", [SECRET, None])
def test_a_webhook_without_a_secret_is_a_change(held: Any, secret: str | None) -> None:
    # The placeholder in Gate comes of a rendered file that was pasted there: everybody knows it.
    assert not plan(hooked(WEBHOOK_SECRET), held=[hooked(held)], secret=secret).empty


def test_the_secret_is_put_in_where_its_placeholder_stands_and_only_there() -> None:
    (change,) = plan(hooked(WEBHOOK_SECRET)).changes
    filled = with_secret(change, SECRET)
    assert filled.pipeline == hooked(SECRET)
    with pytest.raises(LorafleetError, match="'rollback' is started by a webhook, whose secret is not given"):
        with_secret(change, None)
    (plain,) = plan(pipeline()).changes
    assert with_secret(plain, None) == plain


def test_a_credential_that_somebody_wrote_into_a_pipeline_is_not_shown() -> None:
    leaked = "ghp_" + "x" * 36
    stage = {**pipeline()["stages"][0], "comments": f"token {leaked}"}
    shown = json.dumps(plan_json(plan(pipeline(), held=[pipeline(stages=[stage])])))
    assert "stages.wait.comments" in shown
    assert leaked not in shown


@pytest.mark.parametrize("tags", [None, [], [{}], ["managed-by"], [{"name": "managed-by"}], [{"value": "lorafleet"}]])
def test_what_has_not_our_whole_tag_is_not_ours(tags: Any) -> None:
    assert not is_ours({"tags": tags})
    assert is_ours({"tags": [{"name": "managed-by", "value": "lorafleet", "more": 1}]})
