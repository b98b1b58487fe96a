"""The test bed behaves as the reference says: a real Orca, real clusters, and what stands in between keeps Spinnaker's behaviour."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.engines.kubernetes.cluster import Cluster
from tests.engines.kubernetes.faults import Failure, Fault
from tests.engines.orca.engine import Execution, OrcaEngine, stage_of
from tests.engines.orca.stages import (
    BAD,
    EU,
    GOOD,
    HALT,
    IGNORE,
    STOP_BRANCH,
    STOP_BRANCH_THEN_FAIL,
    US,
    deploy,
    deployment,
    fails,
    job,
    on_kubernetes,
    pipeline,
    refs,
    run,
    stage,
    wait,
)
from tests.engines.processes import wait_until

pytestmark = [pytest.mark.timeout(900)]


@pytest.fixture(scope="module", autouse=True)
def _crashing(sites: Mapping[str, Cluster]) -> None:
    for cluster in sites.values():
        cluster.break_pods(Fault("bad-image", Failure.CRASHES, image_ends=BAD))


class TestOrca:
    """What is Orca's own."""

    def test_halt_ends_the_run_and_cancels_its_siblings(self, orca: OrcaEngine) -> None:
        found = run(orca, fails("bad", **HALT), wait("after", "bad"), wait("sibling", seconds=60))
        assert refs(found) == ("TERMINAL", {"bad": "TERMINAL", "after": "NOT_STARTED", "sibling": "CANCELED"})

    def test_halt_of_a_branch_ends_well(self, orca: OrcaEngine) -> None:
        found = run(orca, fails("bad", **STOP_BRANCH), wait("after", "bad"), wait("sibling", seconds=3))
        assert refs(found) == ("SUCCEEDED", {"bad": "STOPPED", "after": "NOT_STARTED", "sibling": "SUCCEEDED"})

    def test_halt_of_a_branch_then_fail_lets_the_others_end_first(self, orca: OrcaEngine) -> None:
        found = run(orca, fails("bad", **STOP_BRANCH_THEN_FAIL), wait("after", "bad"), wait("sibling", seconds=3))
        assert refs(found) == ("TERMINAL", {"bad": "STOPPED", "after": "NOT_STARTED", "sibling": "SUCCEEDED"})

    def test_ignored_failure_goes_on(self, orca: OrcaEngine) -> None:
        found = run(orca, fails("bad", **IGNORE), wait("after", "bad"))
        assert refs(found) == ("SUCCEEDED", {"bad": "FAILED_CONTINUE", "after": "SUCCEEDED"})

    def test_a_wrong_stage_name_in_a_guard_skips_in_silence(self, orca: OrcaEngine) -> None:
        def guard(expression: str) -> dict[str, Any]:
            return {"stageEnabled": {"type": "expression", "expression": expression}}

        found = run(
            orca,
            fails("bad", name="Watch eu", **IGNORE),
            wait("right", "bad", **guard("#stage('Watch eu')['status'].toString() != 'SUCCEEDED'")),
            wait("wrong", "bad", **guard("#stage('Watch us')['status'].toString() != 'SUCCEEDED'")),
            wait("by-ref", "bad", **guard("#stageByRefId('bad')['status'].toString() == 'FAILED_CONTINUE'")),
        )
        assert refs(found) == (
            "SUCCEEDED",
            {"bad": "FAILED_CONTINUE", "right": "SUCCEEDED", "wrong": "SKIPPED", "by-ref": "SUCCEEDED"},
        )

    def test_parameters_and_their_defaults_reach_expressions(self, orca: OrcaEngine) -> None:
        variables = [{"key": "said", "value": "${trigger.parameters.image_digest}/${trigger.parameters.size}"}]
        execution = orca.submit(
            pipeline(
                stage("1", "evaluateVariables", variables=variables),
                parameterConfig=[{"name": "image_digest", "default": ""}, {"name": "size", "default": "3"}],
            ),
            {"image_digest": "sha256:abc"},
        )
        assert stage_of(orca.wait(execution, 30), "1")["outputs"]["said"] == "sha256:abc/3"

    def test_cancel_by_a_person(self, orca: OrcaEngine) -> None:
        execution = orca.submit(pipeline(wait("long", seconds=120), wait("after", "long")))
        orca.wait_for_stage(execution, "long", "RUNNING", 20)
        orca.cancel(execution)
        assert refs(orca.wait(execution, 30)) == ("CANCELED", {"long": "CANCELED", "after": "NOT_STARTED"})

    @pytest.mark.parametrize(("answer", "end"), [("continue", "SUCCEEDED"), ("stop", "TERMINAL")])
    def test_judgment(self, orca: OrcaEngine, answer: str, end: str) -> None:
        execution = orca.submit(pipeline(stage("ask", "manualJudgment", name="Promote?", judgmentInputs=[])))
        orca.wait_for_stage(execution, "ask", "RUNNING", 20)
        orca.judge(execution, "Promote?", answer)
        assert refs(orca.wait(execution, 30)) == (end, {"ask": end})

    def test_end_of_a_pipeline_starts_another(self, orca: OrcaEngine) -> None:
        release = pipeline(fails("bad", **HALT), parameterConfig=[{"name": "release", "default": ""}])
        variables = [{"key": "of", "value": "${trigger.parentExecution.trigger.parameters.release}"}]
        trigger = {
            "type": "pipeline",
            "application": "bed",
            "pipeline": release["id"],
            "status": ["failed", "canceled"],
            "enabled": True,
        }
        rollback = pipeline(stage("1", "evaluateVariables", variables=variables), triggers=[trigger])
        orca.front50.save(rollback)
        orca.wait(orca.submit(release, {"release": "r-7"}), 30)

        def started() -> list[Execution]:
            return [each for each in orca.list("bed") if each["name"] == rollback["name"]]

        wait_until(started, 20, "the rollback pipeline starts")
        found = orca.wait(started()[0]["id"], 30)
        assert stage_of(found, "1")["outputs"]["of"] == "r-7"
        assert len(started()) == 1


@pytest.fixture
def _tidy(sites: Mapping[str, Cluster]) -> Iterator[None]:
    """Give the GPUs back."""
    yield
    for cluster in sites.values():
        cluster.kubectl("delete", "deployment,job", "--all", "-n", "lorafleet")


@pytest.mark.usefixtures("_tidy")
class TestKubernetes:
    def test_a_deployment_by_digest_becomes_stable(self, orca: OrcaEngine, sites: Mapping[str, Cluster]) -> None:
        found = run(orca, deploy("eu", manifest=deployment("good")), deploy("us", manifest=deployment("good"), account=US))
        assert refs(found) == ("SUCCEEDED", {"eu": "SUCCEEDED", "us": "SUCCEEDED"})
        for cluster in sites.values():
            pod = cluster.get("pod", "lorafleet", "app=good")[0]
            assert pod["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "spinnaker"
            assert pod["spec"]["containers"][0]["image"].endswith(f"@sha256:{GOOD}")

    def test_a_crashing_image_fails_at_its_progress_deadline(self, orca: OrcaEngine) -> None:
        manifest = deployment("crashing", BAD, progressDeadlineSeconds=8)
        found = run(orca, deploy("1", manifest=manifest, **IGNORE), wait("2", "1"))
        assert refs(found) == ("SUCCEEDED", {"1": "FAILED_CONTINUE", "2": "SUCCEEDED"})
        errors = stage_of(found, "1")["context"]["exception"]["details"]["errors"]
        assert errors == [f"'deployment crashing' in 'lorafleet' for account {EU}: Deployment exceeded its progress deadline"]

    def test_without_a_progress_deadline_only_the_time_limit_ends_it(self, orca: OrcaEngine) -> None:
        found = run(orca, deploy("1", manifest=deployment("hanging", BAD), stageTimeoutMs=12_000))
        assert found["status"] == "TERMINAL"
        assert "exceeded its progress deadline" not in str(stage_of(found, "1")["context"].get("exception"))

    def test_no_namespace_is_default(self, orca: OrcaEngine, sites: Mapping[str, Cluster]) -> None:
        assert run(orca, deploy("1", manifest=deployment("nowhere"), namespace=""))["status"] == "SUCCEEDED"
        assert sites[EU].get("deployment", "default", "app=nowhere")

    def test_inline_manifests_are_evaluated_although_told_not_to(self, orca: OrcaEngine, sites: Mapping[str, Cluster]) -> None:
        manifest = deployment("evaluated")
        manifest["metadata"]["annotations"] = {"sum": "${ 1 + 1 } is two"}
        assert run(orca, deploy("1", manifest=manifest))["status"] == "SUCCEEDED"
        assert sites[EU].get("deployment", "lorafleet", "app=evaluated")[0]["metadata"]["annotations"]["sum"] == "2 is two"

    def test_what_the_api_refuses_fails_with_its_words(self, orca: OrcaEngine) -> None:
        manifest = deployment("refused")
        manifest["spec"]["template"]["metadata"]["labels"] = {"app": "another"}
        found = run(orca, deploy("1", manifest=manifest))
        assert found["status"] == "TERMINAL"
        assert "selector" in stage_of(found, "1")["context"]["kato.tasks"][0]["exception"]["message"]

    def test_scale_patch_undo_delete(self, orca: OrcaEngine, sites: Mapping[str, Cluster]) -> None:
        target = {"manifestName": "deployment worked", "location": "lorafleet"}
        patch = [{"spec": {"template": {"spec": {"containers": [{"name": "trainer", "env": [{"name": "A", "value": "1"}]}]}}}}]
        found = run(
            orca,
            deploy("deploy", manifest=deployment("worked")),
            on_kubernetes("scale", "scaleManifest", "deploy", replicas="2", **target),
            on_kubernetes("patch", "patchManifest", "scale", patchBody=patch, source="text", **target),
            on_kubernetes("undo", "undoRolloutManifest", "patch", numRevisionsBack=1, **target),
            seconds=120,
        )
        assert found["status"] == "SUCCEEDED"
        worked = sites[EU].get("deployment", "lorafleet", "app=worked")[0]
        assert worked["status"]["readyReplicas"] == 2
        assert worked["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
        assert "env" not in worked["spec"]["template"]["spec"]["containers"][0]
        assert run(orca, on_kubernetes("1", "deleteManifest", options={"cascading": True}, **target))["status"] == "SUCCEEDED"
        assert sites[EU].get("deployment", "lorafleet", "app=worked") == []

    def test_delete_by_labels_takes_what_matches_alone_and_nothing_is_no_error(
        self, orca: OrcaEngine, sites: Mapping[str, Cluster]
    ) -> None:
        selectors = {"selectors": [{"kind": "EQUALS", "key": "app", "values": ["doomed"]}]}
        target: dict[str, Any] = {"mode": "label", "kinds": ["deployment"], "labelSelectors": selectors, "location": "lorafleet"}
        delete = on_kubernetes("1", "deleteManifest", options={"cascading": True}, **target)
        sites[EU].kubectl("create", "deployment", "kept", "-n", "lorafleet", "--image=x@sha256:" + GOOD)
        sites[EU].kubectl("create", "deployment", "doomed", "-n", "lorafleet", "--image=x@sha256:" + GOOD)
        assert run(orca, delete)["status"] == "SUCCEEDED"
        assert sites[EU].get("deployment", "lorafleet", "app=doomed") == []
        assert len(sites[EU].get("deployment", "lorafleet", "app=kept")) == 1
        assert run(orca, delete)["status"] == "SUCCEEDED"

    def test_deleting_an_absent_object_is_no_error(self, orca: OrcaEngine) -> None:
        stage = on_kubernetes(
            "1", "deleteManifest", manifestName="deployment never", location="lorafleet", options={"cascading": True}
        )
        assert run(orca, stage)["status"] == "SUCCEEDED"

    def test_a_job_that_succeeds_and_runs_anew_each_time(self, orca: OrcaEngine) -> None:
        manifest = job("smoke")
        manifest["metadata"]["namespace"] = "lorafleet"
        smoke = on_kubernetes("1", "runJobManifest", alias="runJob", source="text", manifest=manifest, application="bed")
        first, second = run(orca, smoke), run(orca, smoke)
        assert (first["status"], second["status"]) == ("SUCCEEDED", "SUCCEEDED")
        uids = [stage_of(each, "1")["context"]["outputs.manifests"][0]["metadata"]["uid"] for each in (first, second)]
        assert uids[0] != uids[1]

    def test_a_job_that_fails_says_why(self, orca: OrcaEngine) -> None:
        manifest = job("smoke-bad", BAD)
        manifest["metadata"]["namespace"] = "lorafleet"
        found = run(orca, on_kubernetes("1", "runJobManifest", source="text", manifest=manifest, **IGNORE), wait("2", "1"))
        assert refs(found) == ("SUCCEEDED", {"1": "FAILED_CONTINUE", "2": "SUCCEEDED"})
        context = stage_of(found, "1")["context"]
        assert context["completionDetails"]["exitCode"] == "69"
        assert "CUDA initialization failed" in str(context["exception"])

    def test_artifacts_of_a_resource(self, orca: OrcaEngine) -> None:
        find = on_kubernetes("find", "findArtifactsFromResource", "deploy", manifestName="deployment found", location="lorafleet")
        found = run(orca, deploy("deploy", manifest=deployment("found")), find)
        reference = stage_of(found, "find")["outputs"]["artifacts"][0]["reference"]
        assert reference == f"registry.lorafleet.test/trainer@sha256:{GOOD}"

    def test_an_unknown_account_fails(self, orca: OrcaEngine) -> None:
        assert run(orca, deploy("1", manifest=deployment("lost"), account="azure-nowhere"))["status"] == "TERMINAL"


@pytest.mark.usefixtures("_tidy")
class TestWhatDies:
    """Last, since each leaves something to be started again."""

    def test_orca_killed_in_the_middle_goes_on(self, orca: OrcaEngine, sites: Mapping[str, Cluster]) -> None:
        execution = orca.submit(
            pipeline(deploy("deploy", manifest=deployment("survives")), wait("wait", "deploy", seconds=5), wait("end", "wait"))
        )
        orca.wait_for_stage(execution, "deploy", "RUNNING", 30)
        orca.kill()
        orca.restart()
        # What it had in hand comes back after ten minutes, see README.md.
        assert refs(orca.wait(execution, 720)) == (
            "SUCCEEDED",
            {"deploy": "SUCCEEDED", "wait": "SUCCEEDED", "end": "SUCCEEDED"},
        )

    def test_an_api_that_hangs_holds_its_own_branch_to_the_time_limit(self, orca: OrcaEngine, sites: Mapping[str, Cluster]) -> None:
        sites[US].api_hangs()
        try:
            found = run(
                orca,
                deploy("eu", manifest=deployment("reached")),
                deploy("us", manifest=deployment("unreached"), account=US, stageTimeoutMs=15_000, **IGNORE),
            )
        finally:
            sites[US].api_answers_again()
        assert refs(found) == ("SUCCEEDED", {"eu": "SUCCEEDED", "us": "FAILED_CONTINUE"})

    def test_an_api_that_refuses_fails_its_own_branch(self, orca: OrcaEngine, sites: Mapping[str, Cluster]) -> None:
        sites[US].api_refuses()
        try:
            found = run(
                orca,
                deploy("eu", manifest=deployment("still-reached")),
                deploy("us", manifest=deployment("refused"), account=US, **IGNORE),
            )
        finally:
            sites[US].api_returns()
        assert refs(found) == ("SUCCEEDED", {"eu": "SUCCEEDED", "us": "FAILED_CONTINUE"})
        assert "refused" in stage_of(found, "us")["context"]["kato.tasks"][0]["exception"]["message"]
