"""The analysis by Kayenta: where it stands, what it compares, and how a run ends that it fails. No Kayenta runs here."""

import re
from datetime import timedelta
from typing import Any

import pytest
from fleet_world import FleetWorld
from fleets import DIGEST, PARAMETERS, cluster, compiled, example, fleet, sites, with_canary
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_orca import Orca
from simulated_spel import interpolate

from lorafleet.contracts.canary import ANALYSED
from lorafleet.contracts.fleet import FleetSpec
from lorafleet.contracts.metrics import CONSOLE
from pipelines.budget import GONE, GRACE, paths
from pipelines.compile import compile_fleet
from pipelines.model.canary import PROMQL

AWS, GCP, AZURE = "aws-eu-central-1", "gcp-us-west1", "azure-westeurope"
SPEC = with_canary(example(), lifetime="2h")
RELEASE, ROLLBACK = (pipeline.to_json() for pipeline in compiled(SPEC))
STAGES = {stage["refId"]: stage for stage in RELEASE["stages"]}
REFS = list(STAGES)
ANALYSES = [ref for ref in REFS if STAGES[ref]["type"] == "kayentaCanary"]
PODS = (GRACE.length + GONE.length).total_seconds()


def run(world: FleetWorld, pipeline: dict[str, Any] = RELEASE, cancel_at: float | None = None) -> Orca:
    orca = Orca(pipeline, {"type": "manual", "parameters": PARAMETERS}, world)
    orca.run(cancel_at)
    assert not orca.problems
    return orca


def config(spec: FleetSpec = SPEC) -> dict[str, Any]:
    found = compile_fleet(spec, sites()).canary_config
    assert found is not None
    return found.to_json()


def test_only_if_the_spec_asks() -> None:
    assert compile_fleet(example(), sites()).canary_config is None
    assert all(stage.type != "kayentaCanary" for pipeline in compiled(example()) for stage in pipeline.stages)


def test_it_stands_behind_the_last_share_that_leaves_the_stable_release_something() -> None:
    assert {ref: STAGES[ref]["requisiteStageRefIds"] for ref in ANALYSES} == {
        f"analysis-{AWS}": [f"watch-{AWS}_1"],
        # 25 %, 50 %, 75 %, and no stable jobs at 100 %.
        f"analysis-{AZURE}": [f"watch-{AZURE}_3"],
    }
    # The console watches a site once at a time, so that the next watch must not begin before this one's end.
    assert STAGES[f"share-{AZURE}_4"]["requisiteStageRefIds"] == [f"analysis-{AZURE}", f"watch-{AZURE}_analysis"]
    assert STAGES[f"revoke-{AWS}"]["requisiteStageRefIds"] == [f"analysis-{AWS}", f"watch-{AWS}_analysis"]
    for site in (AWS, AZURE):
        stage, watch = STAGES[f"analysis-{site}"], STAGES[f"watch-{site}_analysis"]
        assert stage["requisiteStageRefIds"] == watch["requisiteStageRefIds"]
        assert stage["stageEnabled"] == watch["stageEnabled"]
        assert (stage["continuePipeline"], stage["failPipeline"]) == (True, False)
        assert stage["stageTimeoutMs"] == watch["payload"]["seconds"] * 1000 == 125 * 60_000


def test_the_stable_release_is_compared_with_the_candidate_in_its_site() -> None:
    (scope,) = interpolate(STAGES[f"analysis-{AWS}"]["canaryConfig"]["scopes"], {"parameters": PARAMETERS})
    told = {}
    for side in ("control", "experiment"):
        template = config()["metrics"][0]["query"]["customInlineTemplate"].removeprefix(PROMQL)
        told[side] = template.replace("${scope}", scope[f"{side}Scope"]).replace("${location}", scope[f"{side}Location"])
    selector = f'site="{AWS}",outcome="release"}}[15m]'
    assert f'lorafleet_attempts_ended_total{{release="{DIGEST}",{selector}' in told["experiment"]
    assert f'lorafleet_attempts_ended_total{{release!="{DIGEST}",{selector}' in told["control"]
    assert "$" not in told["control"] + told["experiment"]


def test_the_stage_is_written_as_deck_writes_it() -> None:
    stage = STAGES[f"analysis-{AWS}"]
    asked = stage["canaryConfig"]
    assert stage["analysisType"] == "realTime"
    assert asked["scoreThresholds"] == {"marginal": "50", "pass": "75"}
    assert (asked["lifetimeDuration"], asked["canaryAnalysisIntervalMins"]) == ("PT120M", "20")
    assert (asked["beginCanaryAnalysisAfterMins"], asked["lookbackMins"]) == ("0", "0")
    assert (asked["metricsAccountName"], asked["storageAccountName"], asked["configurationAccountName"]) == (
        "prometheus-prod",
        "canary-results",
        "canary-results",
    )
    assert asked["canaryConfigId"] == config()["id"]


def test_the_config_is_one_that_kayenta_takes() -> None:
    weights = [{"metric": metric.name, "weight": weight} for metric, weight in zip(ANALYSED, (50, 30, 20), strict=True)]
    written = config(with_canary(fleet(cluster(AWS)), metrics=weights))
    assert re.fullmatch("[A-Za-z0-9_-]+", written["name"])
    assert written["applications"] == ["loras"]
    assert sum(written["classifier"]["groupWeights"].values()) == 100
    assert {group for metric in written["metrics"] for group in metric["groups"]} == set(written["classifier"]["groupWeights"])
    assert len({metric["name"] for metric in written["metrics"]}) == 3
    names = {metric.name for metric in CONSOLE}
    for metric in written["metrics"]:
        template = metric["query"]["customInlineTemplate"]
        assert template.startswith(PROMQL)
        assert set(re.findall(r"lorafleet_\w+", template)) <= names
        assert set(re.findall(r"\$\{(\w+)\}", template)) == {"scope", "location"}
    directions = {metric["name"]: metric["analysisConfigurations"]["canary"]["direction"] for metric in written["metrics"]}
    assert directions["lorafleet_checkpoints_published_total"] == "decrease"


def test_a_good_release_takes_over_everywhere() -> None:
    world = FleetWorld()
    orca = run(world)
    assert (orca.result, world.state) == ("SUCCEEDED", "stable")
    assert world.workers("stable") == {AWS, GCP, AZURE}
    assert orca.started["promote"] >= timedelta(hours=2).total_seconds()


@pytest.mark.parametrize("ref", ANALYSES)
@pytest.mark.parametrize("after", [60.0, 1200.0, 90_000.0])
def test_a_failed_analysis_is_taken_back_everywhere_at_once(ref: str, after: float) -> None:
    world = FleetWorld(fails=frozenset({ref}), slow={ref: after})
    orca = run(world)
    assert (orca.result, world.state) == ("TERMINAL", "rolled_back")
    assert not world.workers("candidate")
    assert set(world.gone_at) == {AWS, GCP, AZURE}
    assert orca.status["promote"] == "SKIPPED"
    failed = orca.started[ref] + min(after, STAGES[ref]["stageTimeoutMs"] / 1000)
    assert max(world.gone_at.values()) - failed + PODS <= SPEC.rollback.within.total_seconds()


@pytest.mark.parametrize("site", [AWS, AZURE])
def test_a_breach_does_not_wait_for_the_analysis(site: str) -> None:
    world = FleetWorld(breaches={f"watch-{site}_analysis": 600.0})
    orca = run(world)
    assert orca.result == "TERMINAL"
    assert not world.workers("candidate")
    assert world.breach_at is not None
    assert max(world.gone_at.values()) - world.breach_at + PODS <= SPEC.rollback.within.total_seconds()


def test_no_site_deploys_after_a_breach_in_an_analysis_elsewhere() -> None:
    world = FleetWorld(breaches={f"watch-{AWS}_analysis": 600.0}, slow={f"smoke-{GCP}": 1190.0})
    orca = run(world)
    assert orca.started[f"deploy-{GCP}"] > orca.started[f"revoke-analysis_{AWS}"]
    assert orca.status[f"deploy-{GCP}"] == "SKIPPED"


@pytest.mark.parametrize("ref", REFS)
def test_whichever_stage_fails_the_candidate_is_promoted_or_gone(ref: str) -> None:
    world = FleetWorld(fails=frozenset({ref}))
    orca = run(world)
    if orca.result == "SUCCEEDED" or ref == "released":
        assert world.state == "stable"
    else:
        assert (orca.result, world.state) in (("TERMINAL", "rolled_back"), ("TERMINAL", "preparing"))
        assert not world.workers("candidate")


@settings(max_examples=40, deadline=None)
@given(st.sets(st.sampled_from(REFS), max_size=4), st.dictionaries(st.sampled_from(REFS), st.floats(0, 9000), max_size=4))
def test_no_faults_leave_it_half_done(fails: set[str], slow: dict[str, float]) -> None:
    world = FleetWorld(fails=frozenset(fails), slow=slow)
    orca = run(world)
    assert orca.result in ("SUCCEEDED", "TERMINAL")
    assert (orca.result == "SUCCEEDED") <= (world.state == "stable")
    if world.state != "stable":
        parent = {"trigger": {"parameters": PARAMETERS}}
        again = Orca(ROLLBACK, {"type": "pipeline", "parameters": {}, "parentExecution": parent}, FleetWorldAfter.of(world))
        again.run()
        assert not again.problems
        assert not again.world.workers("candidate")  # type: ignore[attr-defined]


class FleetWorldAfter(FleetWorld):
    """The same fleet once nothing fails any more."""

    @classmethod
    def of(cls, world: FleetWorld) -> "FleetWorldAfter":
        return cls(state=world.state, objects=list(world.objects), breach_at=world.breach_at)


def test_the_fast_line_is_as_fast_as_without() -> None:
    for strategy, more in (("canary", 0), ("bluegreen", 0), ("rolling", 0.2)):
        clusters = [cluster(AWS, strategy), cluster(GCP)]
        plain, analysed = (paths(compiled(spec)[0]) for spec in (fleet(*clusters), with_canary(fleet(*clusters))))
        # One more stage is passed where shares still follow.
        assert (analysed[0].total - plain[0].total).total_seconds() == more
        slowest = max(path.total for path in analysed if path.watch.ref_id.endswith("_analysis"))
        assert slowest <= plain[0].total
