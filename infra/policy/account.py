"""The account around a site: whose it is, what it may cost, which provider makes it, and what it tells."""

import json
from collections.abc import Iterator
from typing import Any

from infra.policy.reading import at, given
from infra.policy.rule import ANY, Resource, Rule, Stack, StackRule
from lorafleet.contracts.credentials import find_credential

SITE_TAG = "lorafleet-site"
_CLUSTERS = {
    "aws:eks/cluster:Cluster": "aws:budgets/budget:Budget",
    "gcp:container/cluster:Cluster": "gcp:billing/budget:Budget",
    "azure-native:containerservice:ManagedCluster": "azure-native:consumption:Budget",
}
_NO_PROVIDER = ("pulumi", "lorafleet")


def _own_provider(resource: Resource) -> Iterator[str]:
    package = resource.type.split(":")[0]
    if package not in _NO_PROVIDER and resource.provider.split("_")[0] in ("", "default"):
        yield f"it goes to whatever account or context of {package} is current"


def _default_tags(provider: Resource) -> Iterator[str]:
    if SITE_TAG not in (_embedded(provider, "defaultTags").get("tags") or {}):
        yield f"what it makes does not bear {SITE_TAG}, by which the budget counts"


def _default_labels(provider: Resource) -> Iterator[str]:
    if SITE_TAG not in _embedded(provider, "defaultLabels"):
        yield f"what it makes does not bear {SITE_TAG}"


def _group_tags(group: Resource) -> Iterator[str]:
    if not given(group.props, "tags", SITE_TAG):
        yield f"it does not bear {SITE_TAG}"


def _embedded(provider: Resource, key: str) -> dict[str, Any]:
    # A provider's own inputs travel as JSON text, and as objects once the engine has read them.
    found = at(provider.props, key)
    read = json.loads(found) if isinstance(found, str) else found
    return dict(read or {})


def _budget(cluster: Resource, stack: Stack) -> Iterator[str]:
    if not stack.all(_CLUSTERS[cluster.type]):
        yield "nobody is told what it costs"


def _no_credential(root: Resource, _: Stack) -> Iterator[str]:
    found = find_credential(root.props)
    if found is not None:
        yield f"the output {found[0]} is {found[1]}"


RULES = (
    Rule(
        "POL171",
        "Each resource names its provider",
        "hand the provider over, or let the component's children take it",
        {ANY: _own_provider},
    ),
    Rule(
        "POL172",
        f"What a site is made of bears the tag or label {SITE_TAG}",
        "give the provider its default tags or labels, or the resource group its tags",
        {
            "pulumi:providers:aws": _default_tags,
            "pulumi:providers:gcp": _default_labels,
            "azure-native:resources:ResourceGroup": _group_tags,
        },
    ),
    StackRule("POL173", "A site has a budget", "add the budget component", dict.fromkeys(_CLUSTERS, _budget)),
    StackRule(
        "POL174",
        "A stack's outputs hold no credential",
        "give the command that fetches a short-lived one instead",
        {"pulumi:pulumi:Stack": _no_credential},
    ),
)
