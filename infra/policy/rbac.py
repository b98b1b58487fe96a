"""Rights in the cluster: named one by one, and none by which more can be had."""

from collections.abc import Iterator
from typing import Any

from infra.contract import DEPLOYERS
from infra.policy.identity import SPINNAKER
from infra.policy.reading import at, items
from infra.policy.rule import Resource, Rule, Stack, StackRule

_GROUP = "kubernetes:rbac.authorization.k8s.io/v1"
ROLE, CLUSTER_ROLE = f"{_GROUP}:Role", f"{_GROUP}:ClusterRole"
BINDING, CLUSTER_BINDING = f"{_GROUP}:RoleBinding", f"{_GROUP}:ClusterRoleBinding"
_ESCALATES = {"bind", "escalate", "impersonate"}
_HANDS_OVER = {"pods/exec", "pods/attach", "pods/portforward", "pods/ephemeralcontainers", "serviceaccounts/token"}
_POWERFUL = ("cluster-admin", "admin", "edit")


def _wildcards(role: Resource) -> Iterator[str]:
    for rule in items(role.props, "rules"):
        for key in ("verbs", "resources", "apiGroups"):
            if "*" in items(rule, key):
                yield f"{key} holds *"


def _escalation(role: Resource) -> Iterator[str]:
    for rule in items(role.props, "rules"):
        for verb in sorted(_ESCALATES & set(items(rule, "verbs"))):
            yield f"it may {verb}"
        for resource in sorted(_HANDS_OVER & set(items(rule, "resources"))):
            yield f"it reaches {resource}"


def _powerful(binding: Resource) -> Iterator[str]:
    if at(binding.props, "roleRef", "kind") == "ClusterRole" and at(binding.props, "roleRef", "name") in _POWERFUL:
        yield f"it gives the role {at(binding.props, 'roleRef', 'name')}"


def _is_spinnakers(binding: Resource) -> bool:
    named = [binding.name, *(str(at(each, "name")) for each in items(binding.props, "subjects"))]
    return any(SPINNAKER in each or each == DEPLOYERS for each in named)


def _rules_of(binding: Resource, stack: Stack) -> list[Any]:
    name = at(binding.props, "roleRef", "name")
    kind = ROLE if at(binding.props, "roleRef", "kind") == "Role" else CLUSTER_ROLE
    return [rule for each in stack.all(kind) if at(each.props, "metadata", "name") == name for rule in items(each.props, "rules")]


def _no_secrets(binding: Resource, stack: Stack) -> Iterator[str]:
    if _is_spinnakers(binding):
        for rule in _rules_of(binding, stack):
            if {"secrets", "*"} & set(items(rule, "resources")):
                yield "Spinnaker reaches secrets"


def _not_cluster_wide(binding: Resource, _: Stack) -> Iterator[str]:
    if _is_spinnakers(binding):
        yield "Spinnaker has rights in every namespace"


RULES = (
    Rule(
        "POL191", "Roles name what they give", "list verbs, resources and API groups", {ROLE: _wildcards, CLUSTER_ROLE: _wildcards}
    ),
    Rule(
        "POL192",
        "No role is a way to more rights",
        "take the verb or the subresource away",
        {ROLE: _escalation, CLUSTER_ROLE: _escalation},
    ),
    Rule(
        "POL193",
        "Nobody is given the cluster's great roles",
        "bind a role that names what is needed",
        {BINDING: _powerful, CLUSTER_BINDING: _powerful},
    ),
    StackRule(
        "POL194",
        "Spinnaker acts in its namespace and knows no secrets",
        "give Spinnaker a namespaced Role without secrets",
        {BINDING: _no_secrets, CLUSTER_BINDING: _not_cluster_wide},
    ),
)
