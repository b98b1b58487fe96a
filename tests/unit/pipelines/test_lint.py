"""Each rule finds its trap in an otherwise good pipeline, and finds nothing in what we generate."""

from collections.abc import Callable
from typing import Any

import pytest
from fleets import cluster, compiled, example, fleet, sites, with_canary
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.compile import compile_fleet
from pipelines.lint import RULES, Severity, lint, lint_json

Json = dict[str, Any]
IMAGE = "registry.example.org/x/trainer@sha256:" + "ab" * 32
CANARY: dict[str, Any] = {
    "lifetimeDuration": "PT1H30M",
    "canaryAnalysisIntervalMins": "10",
    "scoreThresholds": {"marginal": "50", "pass": "75"},
}


def stage(ref: str, kind: str, parents: tuple[str, ...] = (), **more: Any) -> Json:
    return {
        "refId": ref,
        "requisiteStageRefIds": list(parents),
        "type": kind,
        "name": f"Stage {ref}",
        "overrideTimeout": True,
        "stageTimeoutMs": 60_000,
        "failPipeline": False,
        "continuePipeline": True,
        "completeOtherBranchesThenFail": False,
        **more,
    }


def container() -> Json:
    return {
        "name": "worker",
        "image": IMAGE,
        "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi", "nvidia.com/gpu": "1"}},
        "securityContext": {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def pod() -> Json:
    return {
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        "containers": [container()],
    }


def good() -> Json:
    """A small pipeline that every rule likes."""
    deployment = {
        "kind": "Deployment",
        "metadata": {"name": "trainer", "namespace": "lora"},
        "spec": {"progressDeadlineSeconds": 540, "template": {"metadata": {"labels": {"app": "x"}}, "spec": pod()}},
    }
    scaled = {
        "kind": "ScaledObject",
        "metadata": {"name": "trainer", "namespace": "lora"},
        "spec": {
            "scaleTargetRef": {"name": "trainer"},
            "triggers": [{"type": "prometheus", "metadata": {"ignoreNullValues": "false"}}],
        },
    }
    job = {
        "kind": "Job",
        "metadata": {"name": "smoke", "namespace": "lora"},
        "spec": {"backoffLimit": 0, "activeDeadlineSeconds": 60, "template": {"spec": pod()}},
    }
    passed = "#stage('Stage watch')['status'].toString() == 'SUCCEEDED'"
    check = {"type": "expression", "failPipeline": True, "context": {"expression": "parameters['image'] matches 'x'"}}
    return {
        "name": "p",
        "application": "a",
        "schema": "1",
        "spelEvaluator": "v4",
        "limitConcurrent": True,
        "maxConcurrentExecutions": 0,
        "parameterConfig": [{"name": "image", "required": True, "default": ""}],
        "triggers": [
            {"type": "pipeline", "pipeline": "65995974-06bb-54a1-b9aa-732a917737ad"},
            {"type": "webhook", "source": "s", "payloadConstraints": {"secret": "x"}},
        ],
        "notifications": [{"type": "slack", "message": {"pipeline.failed": {"text": "failed"}}}],
        "stages": [
            stage("check", "checkPreconditions", preconditions=[check], failPipeline=True, continuePipeline=False),
            stage("smoke", "runJobManifest", ("check",), account="a", manifest=job),
            stage("deploy", "deployManifest", ("smoke",), account="a", enableArtifactBinding=False, manifests=[deployment, scaled]),
            stage(
                "watch",
                "webhook",
                ("deploy",),
                url="https://fleet.example.org/w",
                method="POST",
                customHeaders={"Authorization": "Bearer ${parameters.image}"},
                waitForCompletion=True,
                statusUrlResolution="webhookResponse",
                statusUrlJsonPath="$.statusUrl",
                statusJsonPath="$.status",
                successStatuses="PASS",
                terminalStatuses="FAIL",
            ),
            stage(
                "remove",
                "deleteManifest",
                ("watch",),
                location="lora",
                mode="label",
                labelSelectors={"selectors": [{"kind": "EQUALS", "key": "k", "values": ["v"]}]},
                stageEnabled={"type": "expression", "expression": f"!({passed})"},
            ),
            stage(
                "end",
                "checkPreconditions",
                ("remove",),
                preconditions=[{"type": "expression", "failPipeline": True, "context": {"expression": passed}}],
                failPipeline=True,
                continuePipeline=False,
            ),
        ],
    }


Change = Callable[[Json, dict[str, Json]], None]


def put(ref: str, **more: Any) -> Change:
    return lambda pipeline, stages: stages[ref].update(more)


def top(**more: Any) -> Change:
    return lambda pipeline, stages: pipeline.update(more)


def add(ref: str, kind: str, parents: tuple[str, ...] = ("check",), **more: Any) -> Change:
    return lambda pipeline, stages: pipeline["stages"].append(stage(ref, kind, parents, **more))


def enabled(expression: str) -> Change:
    return put("remove", stageEnabled={"type": "expression", "expression": expression})


def deep(path: str, value: Any) -> Change:
    """Set what stands at ``stage.key.0.key``; None takes it out."""

    def change(pipeline: Json, stages: dict[str, Json]) -> None:
        ref, *keys = path.split(".")
        here: Any = stages[ref]
        for key in keys[:-1]:
            here = here[int(key)] if isinstance(here, list) else here[key.replace("~", ".")]
        last: Any = int(keys[-1]) if isinstance(here, list) else keys[-1].replace("~", ".")
        if value is None:
            del here[last]
        else:
            here[last] = value

    return change


def drop(ref: str, key: str) -> Change:
    return lambda pipeline, stages: stages[ref].pop(key)


def traffic(strategy: str, *services: str) -> Json:
    return {"enabled": True, "options": {"strategy": strategy, "services": list(services)}}


def trigger(**more: Any) -> Change:
    return lambda pipeline, stages: pipeline["triggers"].append(more)


def parameter(**more: Any) -> Change:
    return lambda pipeline, stages: pipeline["parameterConfig"].append(more)


def manifest(kind: str, name: str = "thing", **more: Any) -> Change:
    one = {"kind": kind, "metadata": {"name": name, "namespace": "lora"}, **more}
    return lambda pipeline, stages: stages["deploy"]["manifests"].append(one)


def both(*changes: Change) -> Change:
    def change(pipeline: Json, stages: dict[str, Json]) -> None:
        for one in changes:
            one(pipeline, stages)

    return change


def kayenta(**config: Any) -> Change:
    return add("canary", "kayentaCanary", ("watch",), analysisType="realTime", canaryConfig={**CANARY, **config})


SPEC = "deploy.manifests.0.spec"
POD = f"{SPEC}.template.spec"
ONE = f"{POD}.containers.0"
S = "#stage('Stage watch')['status'].toString()"

CASES: list[tuple[str, Change]] = [
    ("LF101", put("watch", requisiteStageRefIds=["deploy", "deplyo"])),
    ("LF102", put("smoke", requisiteStageRefIds=["check", "watch"])),
    ("LF102", put("watch", requisiteStageRefIds=["watch"])),
    ("LF103", top(stages=[])),
    ("LF104", put("watch", refId=7)),
    ("LF105", add("watch", "wait", waitTime=1)),
    ("LF106", put("smoke", name="Stage watch")),
    ("LF107", add("it's", "wait")),
    ("LF108", add("more", "monitor")),
    ("LF109", add("more", "deploy", clusters=[{"account": "a", "targetSize": 3}])),
    ("LF201", drop("watch", "stageTimeoutMs")),
    ("LF202", put("watch", stageTimeoutMs="60000")),
    ("LF202", put("watch", stageTimeoutMs=0)),
    ("LF203", put("watch", failPipeline=True)),
    ("LF204", put("watch", continuePipeline=False, completeOtherBranchesThenFail=True)),
    ("LF205", put("end", failPipeline=False)),
    ("LF206", both(put("check", failPipeline=False, continuePipeline=True), put("end", failPipeline=False, continuePipeline=True))),
    ("LF207", put("remove", requisiteStageRefIds=["smoke"])),
    ("LF208", add("marker", "checkPreconditions", failPipeline=True, continuePipeline=False)),
    ("LF209", deep("end.preconditions.0.failPipeline", False)),
    ("LF210", put("watch", markSuccessfulOnTimeout=True)),
    ("LF211", both(add("judge", "manualJudgment", ("deploy",)), put("remove", requisiteStageRefIds=["judge"]))),
    ("LF212", deep("end.preconditions.0.type", "sql")),
    ("LF212", put("end", preconditions=[])),
    ("LF301", enabled("${" + S + " != 'SUCCEEDED'}")),
    ("LF302", enabled("#stage('watch')['status'].toString() != 'SUCCEEDED'")),
    ("LF302", enabled("#stageByRefId('wtach')['status'].toString() != 'SUCCEEDED'")),
    ("LF303", enabled(f"{S} == 'TERMINAL'")),
    ("LF303", enabled("#stage('Stage watch').hasFailed")),
    ("LF304", enabled("#stage('Stage watch')['status'] != 'SUCCEEDED'")),
    ("LF305", enabled(f"({S} != 'SUCCEEDED'")),
    ("LF305", enabled(f"{S} != 'SUCCEEDED")),
    ("LF306", enabled("#stages('Stage watch')['status'].toString() != 'SUCCEEDED'")),
    ("LF307", enabled(f"{S} != 'SUCCEDED'")),
    ("LF308", deep(f"{ONE}.args", ["sh", "-c", "echo ${HOME}"])),
    ("LF309", top(spelEvaluator="v3")),
    ("LF310", put("watch", customHeaders={"Authorization": "${parameters.imgae}"})),
    ("LF310", enabled("parameters['imgae'] == 'x'")),
    # 9,146 characters, and 11,846 with what Orca puts in.
    ("LF311", enabled(" || ".join([f"{S} != 'SUCCEEDED'"] * 150))),
    ("LF312", top(notifications=[{"message": {"pipeline.failed": {"text": "${trigger.user}"}}}])),
    ("LF401", put("deploy", trafficManagement=traffic("canary", "service x"))),
    ("LF402", put("deploy", trafficManagement=traffic("bluegreen", "service x"))),
    (
        "LF403",
        both(
            put("deploy", trafficManagement=traffic("redblack", "service x")),
            deep("deploy.manifests.0.metadata.annotations", {"strategy.spinnaker.io/max-version-history": "1"}),
        ),
    ),
    ("LF404", put("deploy", trafficManagement=traffic("bluegreen"))),
    ("LF405", add("off", "disableManifest", ("watch",), location="lora", manifestName="deployment trainer")),
    ("LF406", manifest("ReplicaSet")),
    ("LF407", deep(f"{ONE}.image", "registry.example.org/x/trainer:latest")),
    ("LF407", deep(f"{ONE}.image", "")),
    ("LF408", drop("deploy", "enableArtifactBinding")),
    ("LF409", put("deploy", skipExpressionEvaluation=True)),
    ("LF410", add("undo", "undoRolloutManifest", ("watch",), location="lora")),
    ("LF411", add("undo", "undoRolloutManifest", ("watch",), location="lora", numRevisionsBack=1)),
    ("LF412", add("scale", "scaleManifest", ("watch",), location="lora")),
    ("LF413", add("patch", "patchManifest", ("watch",), location="lora", patchBody={"a": 1})),
    ("LF414", deep("deploy.manifests.0.metadata.namespace", None)),
    ("LF414", drop("remove", "location")),
    ("LF415", put("remove", labelSelectors={"selectors": []})),
    (
        "LF416",
        both(
            manifest("ConfigMap", "weights"),
            add("patch", "patchManifest", ("watch",), location="lora", manifestName="configMap weights", patchBody=[{}]),
        ),
    ),
    (
        "LF417",
        both(put("deploy", trafficManagement=traffic("none", "service x")), manifest("Service", spec={"selector": {"app": "x"}})),
    ),
    ("LF418", put("smoke", manifest={"kind": "Pod", "metadata": {"namespace": "lora"}})),
    ("LF501", deep(f"{POD}.securityContext.runAsUser", 0)),
    ("LF501", deep(f"{POD}.securityContext.runAsNonRoot", None)),
    ("LF502", deep(f"{ONE}.securityContext.readOnlyRootFilesystem", False)),
    ("LF502", deep(f"{POD}.securityContext.seccompProfile", None)),
    ("LF503", deep(f"{ONE}.resources.limits.memory", None)),
    ("LF504", deep(f"{POD}.tolerations", [])),
    ("LF505", deep(f"{SPEC}.replicas", 2)),
    ("LF506", deep("deploy.manifests.1.spec.triggers.0.metadata.ignoreNullValues", None)),
    ("LF507", deep(f"{SPEC}.progressDeadlineSeconds", 45)),
    ("LF508", deep("smoke.manifest.spec.backoffLimit", 6)),
    ("LF509", deep(f"{POD}.hostNetwork", True)),
    ("LF509", deep(f"{POD}.volumes", [{"name": "x", "hostPath": {"path": "/"}}])),
    *(
        ("LF601", put("watch", url=f"https://{host}/w"))
        for host in ("10.0.0.1", "[::1]", "console", "x.svc.cluster.local", "a.internal")
    ),
    ("LF602", put("watch", url="http://fleet.example.org/w")),
    ("LF603", drop("watch", "terminalStatuses")),
    ("LF604", drop("watch", "statusUrlJsonPath")),
    ("LF604", put("watch", statusUrlResolution="none")),
    ("LF605", put("watch", monitorOnly=True)),
    ("LF606", put("watch", customHeaders={"authorization": "Bearer abc"})),
    ("LF607", put("watch", method="post")),
    ("LF701", trigger(type="pipeline", pipeline="release")),
    ("LF701", add("child", "pipeline", ("watch",), pipeline="rollback")),
    ("LF702", trigger(type="webhook", source="s", payloadConstraints={"status": "firing"})),
    ("LF703", trigger(type="docker", repository="o/r")),
    ("LF704", trigger(type="cron", cronExpression="0 0 10 ? * MON-FRI *")),
    ("LF705", top(maxConcurrentExecutions=2)),
    ("LF706", top(limitConcurrent=False)),
    ("LF707", top(lockedPipeline=True)),
    ("LF708", parameter(name="release", required=True)),
    ("LF709", parameter(name="console_token", default="x")),
    (
        "LF710",
        put(
            "watch",
            restrictedExecutionWindow={"days": [2], "whitelist": [{"startHour": 22, "startMin": 0, "endHour": 2, "endMin": 0}]},
        ),
    ),
    ("LF711", top(schema="v2")),
    ("LF801", kayenta(lifetimeDuration="PT30S")),
    ("LF802", kayenta(canaryAnalysisIntervalMins="0.5")),
    ("LF803", add("canary", "kayentaCanary", ("watch",), analysisType="realTimeAutomatic", canaryConfig=CANARY)),
    ("LF804", kayenta(scoreThresholds={"marginal": "75", "pass": "50"})),
    ("LF805", kayenta(lifetimeDuration="PT49M")),
    ("LF805", kayenta(scopes=[{"step": 120}])),
]


def changed(change: Change) -> Json:
    pipeline = good()
    change(pipeline, {one["refId"]: one for one in pipeline["stages"]})
    return pipeline


def test_the_good_one_is_good() -> None:
    assert lint_json(good()) == []
    assert lint_json(changed(kayenta())) == []


@pytest.mark.parametrize(("code", "change"), CASES, ids=[f"{code}-{index}" for index, (code, _) in enumerate(CASES)])
def test_each_trap_is_found(code: str, change: Change) -> None:
    found = lint_json(changed(change))
    assert code in {finding.code for finding in found}


def test_every_rule_has_a_case_and_says_what_to_do() -> None:
    codes = [rule.code for rule in RULES]
    assert codes == sorted(set(codes))
    assert {code for code, _ in CASES} == set(codes)
    assert all(text for rule in RULES for text in (rule.title, rule.way_out, rule.source))


def test_a_finding_names_its_place() -> None:
    (finding,) = lint_json(changed(put("watch", method="post")))
    assert (finding.code, finding.severity, finding.pipeline, finding.stage) == ("LF607", Severity.ERROR, "p", "watch")
    assert str(finding) == "LF607 error p/watch: there is no method 'post' (use GET, HEAD, POST, PUT, PATCH or DELETE)"


def test_what_is_generated_is_clean() -> None:
    assert lint(compile_fleet(example(), sites())) == []
    assert lint(compile_fleet(with_canary(example()), sites())) == []


def test_an_address_of_the_pipelines_own_making_is_left_alone() -> None:
    assert lint_json(changed(put("watch", url="${parameters.image}/w"))) == []


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from(["aws-eu-central-1", "gcp-us-west1", "azure-westeurope", "local"]), min_size=1, unique=True),
    st.data(),
)
def test_any_fleet_is_clean(names: list[str], data: st.DataObject) -> None:
    spec = fleet(
        *(cluster(name, data.draw(st.sampled_from(["canary", "bluegreen", "rolling"]))) for name in names),
        approvals=[{"before": before} for before in data.draw(st.lists(st.sampled_from(["start", "promote"]), max_size=3))],
        notifications=[{"type": "email", "address": "a@example.org"}],
        windows=[{"from": "09:00", "to": "17:00"}] if data.draw(st.booleans()) else [],
        rollback={"within": "5m"},
    )
    if any(one.last_compared for one in spec.release.clusters) and data.draw(st.booleans()):
        spec = with_canary(spec)
    for pipeline in compiled(spec):
        assert lint_json(pipeline.to_json()) == []


_junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def _corrupt(value: Any, data: st.DataObject) -> Any:
    """The same document with one part of it replaced by junk."""
    if isinstance(value, dict) and value and data.draw(st.integers(0, 5)):
        key = data.draw(st.sampled_from(sorted(value)))
        return {**value, key: _corrupt(value[key], data)}
    if isinstance(value, list) and value and data.draw(st.integers(0, 5)):
        index = data.draw(st.integers(0, len(value) - 1))
        return [*value[:index], _corrupt(value[index], data), *value[index + 1 :]]
    return data.draw(_junk)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_shape_breaks_a_rule(data: st.DataObject) -> None:
    corrupted = _corrupt(_corrupt(good(), data), data)
    lint_json(corrupted if isinstance(corrupted, dict) else {"stages": corrupted})
