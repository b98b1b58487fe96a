"""GPU pools: from zero, no larger than configured, kept for those who ask for GPUs, and told apart by labels."""

from collections.abc import Iterator, Mapping

from infra.policy.reading import at, given, items, texts
from infra.policy.rule import Check, Resource, Rule, Stack, StackCheck, StackRule
from infra.pools import GPU_RESOURCE, TAINT_VALUE

EKS = "aws:eks/nodeGroup:NodeGroup"
GKE = "gcp:container/nodePool:NodePool"
AKS = "azure-native:containerservice:AgentPool"
_TAINTS = {
    EKS: {"key": GPU_RESOURCE, "value": TAINT_VALUE, "effect": "NO_SCHEDULE"},
    GKE: {"key": GPU_RESOURCE, "value": TAINT_VALUE, "effect": "NO_SCHEDULE"},
}
_LABELS = ("lorafleet/pool", "lorafleet/gpu", "lorafleet/capacity")


def _has_gpus(pool: Resource) -> bool:
    match pool.type:
        case "aws:eks/nodeGroup:NodeGroup":
            machines = texts(at(pool.props, "instanceTypes"))
            return "NVIDIA" in str(at(pool.props, "amiType")) or any(each.startswith(("g", "p")) for each in machines)
        case "gcp:container/nodePool:NodePool":
            machine = str(at(pool.props, "nodeConfig", "machineType"))
            # Only to an N1 they are added by themselves; of the others Google may report none or some of its own.
            added = machine.startswith("n1-") and given(pool.props, "nodeConfig", "guestAccelerators")
            return added or machine.startswith(("a2-", "a3-", "a4-", "a4x-", "g2-", "g4-"))
        case _:
            return str(at(pool.props, "vmSize")).startswith("Standard_N")


def _least_and_most(pool: Resource) -> tuple[float | None, float | None]:
    match pool.type:
        case "aws:eks/nodeGroup:NodeGroup":
            size = at(pool.props, "scalingConfig")
            return at(size, "minSize"), at(size, "maxSize")
        case "gcp:container/nodePool:NodePool":
            size = at(pool.props, "autoscaling")
            return at(size, "totalMinNodeCount"), at(size, "totalMaxNodeCount")
        case _:
            return at(pool.props, "minCount"), at(pool.props, "maxCount")


def _from_zero(pool: Resource) -> Iterator[str]:
    least, _ = _least_and_most(pool)
    if _has_gpus(pool) and least != 0:
        yield "it costs money while nobody trains"


def _within(pool: Resource, stack: Stack) -> Iterator[str]:
    _, most = _least_and_most(pool)
    limit = stack.max_nodes.get(pool.name)
    if _has_gpus(pool) and (most is None or limit is None or most > limit):
        allowed = "does not have it" if limit is None else f"says {limit}"
        yield f"it grows to {'any size' if most is None else f'{most:.0f} nodes'}, and the configuration {allowed}"


def _tainted(pool: Resource) -> Iterator[str]:
    if pool.type == AKS:
        wanted = f"{GPU_RESOURCE}={TAINT_VALUE}:NoSchedule" in items(pool.props, "nodeTaints")
    else:
        there = items(pool.props, "taints") if pool.type == EKS else items(pool.props, "nodeConfig", "taints")
        wanted = any({key: at(each, key) for key in ("key", "value", "effect")} == _TAINTS[pool.type] for each in there)
    if _has_gpus(pool) and not wanted:
        yield "pods that want no GPU keep its nodes alive"


def _labels(pool: Resource) -> Mapping[str, str]:
    match pool.type:
        case "aws:eks/nodeGroup:NodeGroup":
            return at(pool.props, "labels") or {}
        case "gcp:container/nodePool:NodePool":
            return at(pool.props, "nodeConfig", "labels") or {}
        case _:
            return at(pool.props, "nodeLabels") or {}


def _labelled(pool: Resource) -> Iterator[str]:
    missing = [each for each in _LABELS if each not in set(_labels(pool))]
    if _has_gpus(pool) and missing:
        yield f"its nodes lack {', '.join(missing)}"


def _each(check: Check) -> Mapping[str, Check]:
    return dict.fromkeys((EKS, GKE, AKS), check)


_WITHIN: Mapping[str, StackCheck] = dict.fromkeys((EKS, GKE, AKS), _within)

RULES = (
    Rule("POL161", "GPU pools grow from zero", "set the pool's minimum to 0", _each(_from_zero)),
    Rule(
        "POL162",
        f"GPU pools bear the taint {GPU_RESOURCE}={TAINT_VALUE}:NoSchedule",
        "put the taint on the pool",
        _each(_tainted),
    ),
    Rule("POL163", "GPU nodes say their pool, GPU and capacity", "put the labels of infra.pools on the pool", _each(_labelled)),
    StackRule("POL164", "GPU pools grow no further than the stack file says", "raise `max` of the pool in the stack file", _WITHIN),
)
