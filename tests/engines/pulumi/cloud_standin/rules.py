"""What the clouds' providers know beside the SDK's types: names that they invent, changes that make anew, deletions they refuse."""

import re
from collections.abc import Mapping
from typing import Any

from sdk_types import inputs_class, inputs_of

from tests.engines.pulumi.cloud_standin import aws, azure, gcp
from tests.engines.pulumi.cloud_standin.asked import Asked, Kubernetes
from tests.engines.pulumi.cloud_standin.store import Record, Store
from tests.engines.pulumi.cloud_standin.values import texts

_ANSWERS = {"aws": aws.answer, "gcp": gcp.answer, "azure-native": azure.answer}
_REPLACE = {"aws": aws.REPLACE, "gcp": gcp.REPLACE, "azure-native": azure.REPLACE}
_AWS_ID = re.compile(r"(vpc|subnet|sg|rtb|igw|nat|eipalloc|lt|fs)-[0-9a-f]{17}")
_NAMES = {
    "aws:eks/nodeGroup:NodeGroup": "nodeGroupName",
    "azure-native:authorization:RoleDefinition": "roleDefinitionId",
    "gcp:projects/iAMCustomRole:IAMCustomRole": "roleId",
}
_UNNAMED = ("aws:autoscaling/tag:Tag", "azure-native:network:Subnet", "azure-native:monitor:DiagnosticSetting")


def answer(asked: Asked) -> dict[str, Any]:
    """The id, and what the cloud adds to the inputs."""
    return _ANSWERS[asked.token.partition(":")[0]](asked)


def name_property(token: str) -> str | None:
    """The input that the provider fills with a name of its own where a program gives none."""
    if token in _UNNAMED:
        return None
    if token in _NAMES:
        return _NAMES[token]
    package, _, kind = token.rpartition(":")
    known = inputs_of(inputs_class(token))
    if package.startswith("azure-native"):
        return next((name for name in known if name.lower() == f"{kind}name".lower()), None)
    return "name" if "name" in known else None


def replaces(token: str, path: str) -> bool:
    """Whether a change at a property's path makes the resource anew."""
    package, _, kind = token.partition(":")
    bare = re.sub(r"\[\d+\]", "", path)
    if package == "azure-native" and bare in _azure_path(token):
        return True
    return any(bare == each or bare.startswith(f"{each}.") for each in _REPLACE[package].get(kind, ()))


def _azure_path(token: str) -> set[str]:
    # In Azure everything that is part of a resource's id is its identity.
    return {"resourceGroupName", "resourceName", "accountName", "vaultName", "scope", name_property(token) or ""}


def refusal(store: Store, record: Record) -> str | None:
    """Why the cloud would not delete a resource; None where it would."""
    package = record.token.partition(":")[0]
    protected = {"aws": aws.refusal, "gcp": gcp.refusal}.get(package)
    if protected and (why := protected(record.token, record.inputs)):
        return why
    if any(azure.locked(each.token, each.inputs) == record.id for each in store.all()):
        return "ScopeLocked: a lock forbids to delete it"
    # Rights, locks and settings on a resource go with it in Azure and Google Cloud; AWS holds what is in use.
    if package == "aws" and (users := store.users(record.id)):
        return f"DependencyViolation: {', '.join(f'{user.token}::{user.name}' for user in users)} uses it"
    return None


def invoke(token: str, kubernetes: Kubernetes) -> dict[str, Any] | None:
    """The answer of a function; None where the stand-in has it not."""
    if token == "azure-native:containerservice:listManagedClusterUserCredentials":
        return azure.user_credentials(kubernetes)
    if token == "gcp:storage/getProjectServiceAccount:getProjectServiceAccount":
        return gcp.storage_agent()
    return None


def missing(store: Store, inputs: Mapping[str, Any]) -> set[str]:
    """AWS ids in a resource's inputs that no resource has, or has any more."""
    named = {each for each in texts(dict(inputs)) if _AWS_ID.fullmatch(each)}
    return named - {each.id for each in store.all()}
