"""Identities and what they may: no wildcards, nobody unnamed, the trainer in its own prefix, Spinnaker no further than the API."""

from collections.abc import Iterator
from typing import Any

from infra.azure_roles import Role
from infra.policy.reading import at, given, items, statements, texts
from infra.policy.rule import Resource, Rule

ROLE_POLICY = "aws:iam/rolePolicy:RolePolicy"
ASSIGNMENT = "azure-native:authorization:RoleAssignment"
PROJECT_MEMBER = "gcp:projects/iAMMember:IAMMember"
BUCKET_MEMBER = "gcp:storage/bucketIAMMember:BucketIAMMember"
SPINNAKER, TRAINER = "spinnaker", "trainer"
"""How the programs name the resources of these two identities."""

_AZURE_OWNERS = ("8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "b24988ac-6180-42a0-ab88-20f7382dd24c")
_GOOGLE_OWNERS = ("roles/owner", "roles/editor")
_ANYBODY = ("allUsers", "allAuthenticatedUsers")
_MEMBERS = (
    PROJECT_MEMBER,
    BUCKET_MEMBER,
    "gcp:artifactregistry/repositoryIamMember:RepositoryIamMember",
    "gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember",
    "gcp:serviceaccount/iAMMember:IAMMember",
)


def _allowed(policy: Resource) -> list[Any]:
    return [each for each in statements(policy.props, "policy") if each["Effect"] == "Allow"]


def _iam_wildcards(policy: Resource) -> Iterator[str]:
    for each in _allowed(policy):
        if "NotAction" in each:
            yield "it allows everything but a few actions"
        for action in texts(each.get("Action")):
            if action == "*" or action.endswith(":*"):
                yield f"it allows {action}"


def _azure_wildcards(definition: Resource) -> Iterator[str]:
    for permission in items(definition.props, "permissions"):
        for action in (*items(permission, "actions"), *items(permission, "dataActions")):
            if action == "*" or action.endswith("/*"):
                yield f"it allows {action}"


def _google_owner(member: Resource) -> Iterator[str]:
    if at(member.props, "role") in _GOOGLE_OWNERS:
        yield f"it gives {at(member.props, 'role')}"


def _azure_owner(assignment: Resource) -> Iterator[str]:
    if at(assignment.props, "roleDefinitionId").endswith(_AZURE_OWNERS):
        yield "it gives Owner or Contributor"


def _trust(role: Resource) -> Iterator[str]:
    for each in statements(role.props, "assumeRolePolicy"):
        principal = each.get("Principal")
        if each["Effect"] == "Allow" and (principal == "*" or (isinstance(principal, dict) and "*" in texts(principal.get("AWS")))):
            yield "everybody may take the role"


def _anybody(member: Resource) -> Iterator[str]:
    if at(member.props, "member") in _ANYBODY:
        yield f"{at(member.props, 'member')} has rights"


def _spinnaker_aws(policy: Resource) -> Iterator[str]:
    if policy.name == SPINNAKER:
        for action in sorted({action for each in _allowed(policy) for action in texts(each["Action"])} - {"eks:DescribeCluster"}):
            yield f"Spinnaker may {action}"


def _spinnaker_role(role: Resource) -> Iterator[str]:
    if role.name == SPINNAKER:
        for permission in sorted(set(items(role.props, "permissions")) - {"container.clusters.get"}):
            yield f"Spinnaker may {permission}"


def _spinnaker_member(member: Resource) -> Iterator[str]:
    if member.name == SPINNAKER:
        if str(at(member.props, "role")).startswith("roles/"):
            yield f"Spinnaker has {at(member.props, 'role')} on the project"
        if not given(member.props, "condition", "expression"):
            yield "Spinnaker reaches every cluster of the project"


def _spinnaker_azure(assignment: Resource) -> Iterator[str]:
    if assignment.name == SPINNAKER and not at(assignment.props, "roleDefinitionId").endswith(Role.AKS_CLUSTER_USER.value):
        yield "Spinnaker has more than the role of a cluster's user"


def _trainer_aws(policy: Resource) -> Iterator[str]:
    if policy.name == TRAINER:
        for each in _allowed(policy):
            on_objects = any("Object" in action for action in texts(each["Action"]))
            if on_objects and not all(resource.endswith("/jobs/*") for resource in texts(each.get("Resource"))):
                yield "the trainer reads and writes beside jobs/"


def _trainer_gcp(member: Resource) -> Iterator[str]:
    if member.name.startswith(TRAINER) and "/objects/jobs/" not in (at(member.props, "condition", "expression") or ""):
        yield "the trainer reads and writes beside jobs/"


def _trainer_azure(assignment: Resource) -> Iterator[str]:
    if assignment.name == TRAINER and "'jobs/'" not in (at(assignment.props, "condition") or ""):
        yield "the trainer reads and writes beside jobs/"


RULES = (
    Rule(
        "POL151",
        "Rights are named one by one",
        "list the actions that are needed, and no owner's role",
        {
            ROLE_POLICY: _iam_wildcards,
            "aws:iam/policy:Policy": _iam_wildcards,
            "azure-native:authorization:RoleDefinition": _azure_wildcards,
            PROJECT_MEMBER: _google_owner,
            ASSIGNMENT: _azure_owner,
        },
    ),
    Rule(
        "POL152",
        "Nobody unnamed has rights",
        "name the identity, the group or the account",
        {"aws:iam/role:Role": _trust, **dict.fromkeys(_MEMBERS, _anybody)},
    ),
    Rule(
        "POL153",
        "Spinnaker's identity reaches the API of one cluster, and nothing else of the cloud",
        "give Spinnaker its rights in the cluster, by the Role of its namespace",
        {
            ROLE_POLICY: _spinnaker_aws,
            "gcp:projects/iAMCustomRole:IAMCustomRole": _spinnaker_role,
            PROJECT_MEMBER: _spinnaker_member,
            ASSIGNMENT: _spinnaker_azure,
        },
    ),
    Rule(
        "POL154",
        "The trainer's identity reaches its own prefix of the store",
        "narrow the right to jobs/ by resource or condition",
        {ROLE_POLICY: _trainer_aws, BUCKET_MEMBER: _trainer_gcp, ASSIGNMENT: _trainer_azure},
    ),
)
