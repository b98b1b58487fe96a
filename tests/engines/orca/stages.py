"""Small pipelines by hand, for tests of the bed itself."""

import itertools
from typing import Any

from tests.engines.kubernetes.cluster import GPU_TAINT
from tests.engines.orca.engine import Execution, OrcaEngine, statuses

EU, US = "aws-eu-central-1", "gcp-us-west1"
GOOD, BAD = "a" * 64, "b" * 64
HALT: dict[str, Any] = {"failPipeline": True, "continuePipeline": False, "completeOtherBranchesThenFail": False}
STOP_BRANCH: dict[str, Any] = {"failPipeline": False, "continuePipeline": False, "completeOtherBranchesThenFail": False}
STOP_BRANCH_THEN_FAIL: dict[str, Any] = {"failPipeline": False, "continuePipeline": False, "completeOtherBranchesThenFail": True}
IGNORE: dict[str, Any] = {"failPipeline": False, "continuePipeline": True, "completeOtherBranchesThenFail": False}

_names = itertools.count()


def pipeline(*stages: dict[str, Any], **more: Any) -> dict[str, Any]:
    name = f"bed-{next(_names)}"
    return {"application": "bed", "name": name, "id": f"id-{name}", "stages": list(stages), **more}


def stage(ref: str, kind: str, *after: str, **more: Any) -> dict[str, Any]:
    return {"refId": ref, "type": kind, "name": more.pop("name", f"Stage {ref}"), "requisiteStageRefIds": list(after), **more}


def wait(ref: str, *after: str, seconds: int = 1, **more: Any) -> dict[str, Any]:
    return stage(ref, "wait", *after, waitTime=seconds, **more)


def fails(ref: str, *after: str, **more: Any) -> dict[str, Any]:
    precondition = {"type": "expression", "failPipeline": True, "context": {"expression": "false"}}
    return stage(ref, "checkPreconditions", *after, preconditions=[precondition], **more)


def on_kubernetes(ref: str, kind: str, *after: str, account: str = EU, **more: Any) -> dict[str, Any]:
    return stage(ref, kind, *after, account=account, cloudProvider="kubernetes", **more)


def deployment(name: str, digest: str = GOOD, **spec: Any) -> dict[str, Any]:
    container = {
        "name": "trainer",
        "image": f"registry.lorafleet.test/trainer@sha256:{digest}",
        "resources": {"requests": {"cpu": "1"}, "limits": {"nvidia.com/gpu": "1"}},
    }
    pod = {"tolerations": [{"key": GPU_TAINT["key"], "operator": "Exists"}], "containers": [container]}
    template = {"metadata": {"labels": {"app": name}}, "spec": pod}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template, **spec},
    }


def job(name: str, digest: str = GOOD) -> dict[str, Any]:
    template = deployment(name, digest)["spec"]["template"]
    template["spec"]["restartPolicy"] = "Never"
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"backoffLimit": 0, "template": template}}


def deploy(
    ref: str, *after: str, manifest: dict[str, Any], account: str = EU, namespace: str = "lorafleet", **more: Any
) -> dict[str, Any]:
    given = {"source": "text", "moniker": {"app": "bed"}, "manifests": [manifest], "namespaceOverride": namespace}
    flags = {"skipExpressionEvaluation": True, "enableArtifactBinding": False}
    return on_kubernetes(ref, "deployManifest", *after, account=account, **given, **flags, **more)


def watch(ref: str, url: str, *after: str, **more: Any) -> dict[str, Any]:
    given = {"url": url, "method": "POST", "payload": {"seconds": 5}, "waitForCompletion": True, "statusUrlResolution": "getMethod"}
    paths = {"statusJsonPath": "$.status", "progressJsonPath": "$.detail"}
    ends = {"successStatuses": "PASS", "terminalStatuses": "FAIL", "canceledStatuses": "CANCELLED"}
    return stage(ref, "webhook", *after, **{**given, **paths, **ends, **more})


ANSWERED = {"statusUrlResolution": "webhookResponse", "statusUrlJsonPath": "$.statusUrl"}


def run(orca: OrcaEngine, *stages: dict[str, Any], seconds: float = 90, **more: Any) -> Execution:
    return orca.wait(orca.submit(pipeline(*stages, **more)), seconds)


def refs(execution: Execution) -> tuple[str, dict[str, str]]:
    return execution["status"], statuses(execution)
