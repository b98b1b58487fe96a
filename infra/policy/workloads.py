"""What runs in the cluster: which image, in which namespace, and with how little."""

from collections.abc import Iterator, Mapping
from typing import Any

from infra.policy.reading import at, given, items, open_to_the_world
from infra.policy.rule import Check, Resource, Rule, Stack, StackRule

NAMESPACE = "kubernetes:core/v1:Namespace"
POLICY = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
SERVICE = "kubernetes:core/v1:Service"
_POD_TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "kubernetes:core/v1:Pod": ("spec",),
    "kubernetes:apps/v1:Deployment": ("spec", "template", "spec"),
    "kubernetes:apps/v1:StatefulSet": ("spec", "template", "spec"),
    "kubernetes:apps/v1:DaemonSet": ("spec", "template", "spec"),
    "kubernetes:batch/v1:Job": ("spec", "template", "spec"),
    "kubernetes:batch/v1:CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
}
_LEVEL = "pod-security.kubernetes.io/enforce"


def _containers(pod: Any) -> list[Any]:
    return [*items(pod, "initContainers"), *items(pod, "containers")]


def _pod(workload: Resource) -> Any:
    return at(workload.props, *_POD_TEMPLATES[workload.type])


def _digests(workload: Resource) -> Iterator[str]:
    for container in _containers(_pod(workload)):
        if "@sha256:" not in (at(container, "image") or ""):
            yield f"container {at(container, 'name')} takes its image by a tag, which can be moved"


def _limits(workload: Resource) -> Iterator[str]:
    for container in _containers(_pod(workload)):
        if not given(container, "resources", "requests", "memory") or not given(container, "resources", "limits", "memory"):
            yield f"container {at(container, 'name')} may take all memory of its node"


def _token(workload: Resource) -> Iterator[str]:
    pod = _pod(workload)
    own_account = at(pod, "serviceAccountName") not in (None, "default")
    if at(pod, "automountServiceAccountToken") is not False and not own_account:
        yield "its pods get the token of the default account, which they have no use for"


def _restricted(namespace: Resource) -> Iterator[str]:
    if at(namespace.props, "metadata", "labels", _LEVEL) not in ("restricted", "privileged"):
        yield f"the label {_LEVEL} is missing"


def _confined(workload: Resource, stack: Stack) -> Iterator[str]:
    """What pod security *restricted* asks (Kubernetes: Pod Security Standards), seen before the API server refuses it."""
    if _namespace(workload) in _privileged(stack):
        return
    pod = _pod(workload)
    own = at(pod, "securityContext") or {}
    for switch in ("hostNetwork", "hostPID", "hostIPC"):
        if at(pod, switch) is True:
            yield f"{switch} is on"
    if any(given(volume, "hostPath") for volume in items(pod, "volumes")):
        yield "it mounts a folder of its node"
    for container in _containers(pod):
        name, context = at(container, "name"), at(container, "securityContext") or {}
        if at(context, "runAsNonRoot") is not True and at(own, "runAsNonRoot") is not True:
            yield f"container {name} may run as root"
        if at(context, "allowPrivilegeEscalation") is not False:
            yield f"container {name} may gain rights"
        if "ALL" not in items(context, "capabilities", "drop"):
            yield f"container {name} keeps capabilities"
        if (at(context, "seccompProfile", "type") or at(own, "seccompProfile", "type")) not in ("RuntimeDefault", "Localhost"):
            yield f"container {name} has no seccomp profile"


def _namespace(resource: Resource) -> str:
    return str(at(resource.props, "metadata", "namespace") or "default")


def _privileged(stack: Stack) -> set[str]:
    return {
        at(each.props, "metadata", "name")
        for each in stack.all(NAMESPACE)
        if at(each.props, "metadata", "labels", _LEVEL) == "privileged"
    }


def _denied(namespace: Resource, stack: Stack) -> Iterator[str]:
    name = at(namespace.props, "metadata", "name")
    closed: set[str] = set()
    for policy in stack.all(POLICY):
        spec = at(policy.props, "spec")
        if _namespace(policy) == name and not given(spec, "podSelector"):
            closed |= {kind for kind in items(spec, "policyTypes") if not given(spec, kind.casefold())}
    for kind in sorted({"Ingress", "Egress"} - closed):
        yield f"nothing denies {kind.casefold()} by default"


def _bounded(namespace: Resource, stack: Stack) -> Iterator[str]:
    name = at(namespace.props, "metadata", "name")
    if not any(_namespace(each) == name for each in stack.all("kubernetes:core/v1:ResourceQuota")):
        yield "nothing bounds what runs in it"


def _open_service(service: Resource) -> Iterator[str]:
    spec = at(service.props, "spec")
    if at(spec, "type") == "NodePort":
        yield "each node opens a port for it"
    if at(spec, "type") == "LoadBalancer":
        ranges = items(spec, "loadBalancerSourceRanges") or ["0.0.0.0/0"]
        for each in ranges:
            if open_to_the_world(each):
                yield f"it lets {each} in"


def _pinned(release: Resource) -> Iterator[str]:
    if not given(release.props, "version") and not given(release.props, "chart", "version"):
        yield "it takes whatever version of the chart is newest"


def _each(check: Check) -> Mapping[str, Check]:
    return dict.fromkeys(_POD_TEMPLATES, check)


RULES = (
    Rule("POL181", "Images in the cluster are named by digest", "write IMAGE@sha256:…", _each(_digests)),
    Rule("POL182", "Containers say the memory they need and may take", "add resources.requests and limits", _each(_limits)),
    Rule(
        "POL183",
        "Pods that ask the API nothing have no token",
        "set automountServiceAccountToken to false, or give the pod an account of its own",
        _each(_token),
    ),
    Rule(
        "POL184",
        "A namespace says its level of pod security",
        f"label it {_LEVEL}: restricted; privileged is for drivers of the nodes alone",
        {NAMESPACE: _restricted},
    ),
    StackRule(
        "POL185",
        "Pods are as confined as pod security `restricted` asks",
        "give pod and containers the security context of the other workloads",
        dict.fromkeys(_POD_TEMPLATES, _confined),
    ),
    StackRule(
        "POL186",
        "A namespace denies by default",
        "add a NetworkPolicy without a selector that allows nothing, in and out",
        {NAMESPACE: _denied},
    ),
    StackRule("POL187", "A namespace is bounded", "add a ResourceQuota", {NAMESPACE: _bounded}),
    Rule(
        "POL188",
        "No service is open to the world",
        "name the networks that may come in under loadBalancerSourceRanges",
        {SERVICE: _open_service},
    ),
    Rule("POL189", "Charts are pinned", "name the chart's version", {"kubernetes:helm.sh/v3:Release": _pinned}),
)
