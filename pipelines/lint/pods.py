"""LF5: the pods of a release."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.lint.findings import Hit, Rule, error, warning
from pipelines.lint.view import PipelineView, StageView, at, items, mapping, text
from pipelines.manifests.pod import GPU

_HARDENING = "Pod Security Standards of Kubernetes, level restricted"
_SHORTEST_PROGRESS = 120


def _pods(pipeline: PipelineView) -> Iterator[tuple[StageView, Mapping[str, Any], list[Mapping[str, Any]]]]:
    """Each pod's spec with its containers."""
    for stage in pipeline.stages:
        for manifest in stage.manifests:
            spec = mapping(at(manifest, "spec", "template", "spec"))
            if spec:
                yield stage, spec, [mapping(one) for one in [*items(spec.get("containers")), *items(spec.get("initContainers"))]]


def _setting(spec: Mapping[str, Any], container: Mapping[str, Any], key: str) -> Any:
    own = at(container, "securityContext", key)
    return at(spec, "securityContext", key) if own is None else own


@error("LF501", "A pod that may run as root", way_out="set runAsNonRoot and a runAsUser above 0", source=_HARDENING)
def root(pipeline: PipelineView) -> Iterator[Hit]:
    """A user by name is not enough: the kubelet refuses what it cannot tell from root."""
    for stage, spec, containers in _pods(pipeline):
        for container in containers:
            user = _setting(spec, container, "runAsUser")
            if _setting(spec, container, "runAsNonRoot") is not True or not isinstance(user, int) or user == 0:
                yield stage, f"container '{container.get('name')}' has no numeric user besides root"


@error(
    "LF502",
    "A container that may do too much",
    way_out="readOnlyRootFilesystem, no privilege escalation, drop ALL, seccomp RuntimeDefault",
    source=_HARDENING,
)
def privileged(pipeline: PipelineView) -> Iterator[Hit]:
    """Whatever a trainer does not need."""
    for stage, spec, containers in _pods(pipeline):
        for container in containers:
            lacking = [
                word
                for word, good in (
                    ("a read-only root", at(container, "securityContext", "readOnlyRootFilesystem") is True),
                    ("a ban on privilege escalation", at(container, "securityContext", "allowPrivilegeEscalation") is False),
                    ("dropped capabilities", "ALL" in items(at(container, "securityContext", "capabilities", "drop"))),
                    ("seccomp", at(_setting(spec, container, "seccompProfile"), "type") in ("RuntimeDefault", "Localhost")),
                )
                if not good
            ]
            if lacking:
                yield stage, f"container '{container.get('name')}' lacks {', '.join(lacking)}"


@error(
    "LF503",
    "A container without requests or limits",
    way_out="set requests and a memory limit",
    source="Kubernetes evicts pods without requests first; a container without a memory limit can take its node down",
)
def unbounded(pipeline: PipelineView) -> Iterator[Hit]:
    """Requests and the memory limit."""
    for stage, _, containers in _pods(pipeline):
        for container in containers:
            if not at(container, "resources", "requests") or not at(container, "resources", "limits", "memory"):
                yield stage, f"container '{container.get('name')}' has no requests or no memory limit"


@error(
    "LF504",
    "A GPU pod that GPU nodes refuse",
    way_out=f"tolerate the taint {GPU}",
    source="GPU pools carry the taint nvidia.com/gpu, so that nothing else takes their room",
)
def no_toleration(pipeline: PipelineView) -> Iterator[Hit]:
    """A GPU is asked for, and no toleration of its taint."""
    for stage, spec, containers in _pods(pipeline):
        wants = any(at(container, "resources", "limits", GPU) for container in containers)
        if wants and all(text(mapping(one).get("key")) != GPU for one in items(spec.get("tolerations"))):
            yield stage, f"it asks for {GPU} and does not tolerate the taint of that name"


@error(
    "LF505",
    "Replicas that fight with KEDA",
    way_out="leave replicas out where a ScaledObject rules",
    source="an apply with replicas undoes what the autoscaler has set",
)
def replicas(pipeline: PipelineView) -> Iterator[Hit]:
    """``replicas`` beside a ScaledObject."""
    for stage in pipeline.of_type("deployManifest"):
        ruled = {
            text(at(manifest, "spec", "scaleTargetRef", "name"))
            for manifest in stage.manifests
            if manifest.get("kind") in ("ScaledObject", "HorizontalPodAutoscaler")
        }
        for manifest in stage.manifests:
            if text(at(manifest, "metadata", "name")) in ruled and at(manifest, "spec", "replicas") is not None:
                yield stage, f"'{at(manifest, 'metadata', 'name')}' has replicas and is scaled by something else"


@error(
    "LF506",
    "A missing metric that stops all workers",
    way_out='set ignoreNullValues: "false"',
    source="prometheus scaler of KEDA: ignoreNullValues is true by default, and nothing counts as 0",
)
def null_is_zero(pipeline: PipelineView) -> Iterator[Hit]:
    """A console or Prometheus that is gone would empty the site."""
    for stage in pipeline.of_type("deployManifest"):
        for manifest in stage.manifests:
            for trigger in items(at(manifest, "spec", "triggers")) if manifest.get("kind") == "ScaledObject" else []:
                if at(trigger, "type") == "prometheus" and at(trigger, "metadata", "ignoreNullValues") != "false":
                    yield stage, "where the metric is missing, KEDA would scale to the minimum"


@warning(
    "LF507",
    "A deadline that a slow image pull breaks",
    way_out="give progressDeadlineSeconds minutes, and judge crashes by a smoke Job and a watch",
    source="KubernetesDeploymentHandler.java of Clouddriver: a Deployment fails on ProgressDeadlineExceeded alone, whatever the reason",
)
def short_progress(pipeline: PipelineView) -> Iterator[Hit]:
    """CUDA images have 10 GB."""
    for stage in pipeline.of_type("deployManifest"):
        for manifest in stage.manifests:
            deadline = at(manifest, "spec", "progressDeadlineSeconds")
            if manifest.get("kind") == "Deployment" and isinstance(deadline, int) and deadline < _SHORTEST_PROGRESS:
                yield stage, f"pulling an image or adding a node may take longer than {deadline}s, and is no fault of the release"


@error(
    "LF508",
    "A Job that runs on and on",
    way_out="set backoffLimit: 0 and activeDeadlineSeconds",
    source="KubernetesJobHandler.java of Clouddriver: a Job fails on its condition Failed alone, after 6 tries by default",
)
def patient_job(pipeline: PipelineView) -> Iterator[Hit]:
    """A smoke Job is tried once."""
    for stage in pipeline.of_type("runJobManifest"):
        spec = mapping(at(stage.raw, "manifest", "spec"))
        if spec.get("backoffLimit") != 0 or not spec.get("activeDeadlineSeconds"):
            yield stage, "a failing Job is tried again for many minutes"


@error(
    "LF509",
    "A host's own things in a pod",
    way_out="leave hostNetwork, hostPID, hostIPC and hostPath out",
    source=_HARDENING,
)
def host(pipeline: PipelineView) -> Iterator[Hit]:
    """Networks, processes and folders of the node."""
    for stage, spec, _ in _pods(pipeline):
        used = [key for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
        used += ["hostPath" for volume in items(spec.get("volumes")) if "hostPath" in mapping(volume)]
        if used:
            yield stage, f"its pods use {', '.join(used)}"


RULES: tuple[Rule, ...] = (
    root,
    privileged,
    unbounded,
    no_toleration,
    replicas,
    null_is_zero,
    short_progress,
    patient_job,
    host,
)
