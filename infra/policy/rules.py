"""All rules, in the order of their codes."""

from infra.policy import account, clusters, gpu, identity, network, rbac, registry, storage, workloads
from infra.policy.rule import Rule, StackRule

RULES: tuple[Rule | StackRule, ...] = (
    *clusters.RULES,
    *network.RULES,
    *storage.RULES,
    *registry.RULES,
    *identity.RULES,
    *gpu.RULES,
    *account.RULES,
    *workloads.RULES,
    *rbac.RULES,
)
