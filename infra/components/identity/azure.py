"""Managed identities of the trainer's pods and of Spinnaker."""

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import authorization, managedidentity

from infra.azure_roles import Role
from infra.components.azure_group import AzureGroup
from infra.components.component import Component
from infra.components.identity.prefix import TRAINER_PREFIX

_AUDIENCE = "api://AzureADTokenExchange"
_BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"


@dataclass(frozen=True)
class AzureTrainerProps:
    """The service account, the cluster that issues its tokens, and the container of which it sees one prefix."""

    group: AzureGroup
    issuer: pulumi.Input[str]
    namespace: str
    service_account: str
    container_id: pulumi.Input[str]
    role_name: str


class AzureTrainerIdentity(Component):
    """Reads and writes blobs of jobs, and nothing else; Azure has no role without deletion, hence one of our own."""

    def __init__(self, name: str, props: AzureTrainerProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("identity:AzureTrainer", name, opts)
        group = props.group
        identity = managedidentity.UserAssignedIdentity(
            name, resource_group_name=group.name, location=group.region, resource_name_="lorafleet-trainer", opts=self.child()
        )
        managedidentity.FederatedIdentityCredential(
            name,
            resource_group_name=group.name,
            resource_name_=identity.name,
            federated_identity_credential_resource_name="trainer-pods",
            issuer=props.issuer,
            subject=f"system:serviceaccount:{props.namespace}:{props.service_account}",
            audiences=[_AUDIENCE],
            opts=self.child(),
        )
        role = authorization.RoleDefinition(
            name,
            # Azure defines roles for resource groups and wider; the assignment below narrows it to the container.
            scope=group.id,
            assignable_scopes=[group.id],
            role_name=props.role_name,
            role_type="CustomRole",
            description="Reads and writes blobs, deletes none",
            permissions=[
                authorization.PermissionArgs(
                    actions=[],
                    data_actions=[f"{_BLOBS}/read", f"{_BLOBS}/write", f"{_BLOBS}/add/action"],
                )
            ],
            opts=self.child(),
        )
        authorization.RoleAssignment(
            name,
            scope=props.container_id,
            principal_id=identity.principal_id,
            principal_type=authorization.PrincipalType.SERVICE_PRINCIPAL,
            role_definition_id=role.id,
            condition=prefix_condition(TRAINER_PREFIX),
            condition_version="2.0",
            opts=self.child(),
        )
        self.client_id: pulumi.Output[str] = identity.client_id
        self.register_outputs({"client_id": self.client_id})


def prefix_condition(prefix: str) -> str:
    """Blobs below a prefix, and listings of it (Microsoft Learn: example conditions for blob storage)."""
    path = f"@Resource[{_BLOBS}:path] StringStartsWith '{prefix}'"
    listed = f"@Request[{_BLOBS}:prefix] StringStartsWith '{prefix}'"
    rules = (
        (f"ActionMatches{{'{_BLOBS}/read'}} AND NOT SubOperationMatches{{'Blob.List'}}", path),
        (f"ActionMatches{{'{_BLOBS}/read'}} AND SubOperationMatches{{'Blob.List'}}", listed),
        (f"ActionMatches{{'{_BLOBS}/write'}}", path),
        (f"ActionMatches{{'{_BLOBS}/add/action'}}", path),
    )
    return " AND ".join(f"((!({action})) OR ({allowed}))" for action, allowed in rules)


@dataclass(frozen=True)
class AzureSpinnakerProps:
    """Whose tokens are taken for the identity, and the one cluster that it may find."""

    group: AzureGroup
    cluster_id: pulumi.Input[str]
    issuer: str
    subject: str


class AzureSpinnakerIdentity(Component):
    """Knows where the cluster's API is; the in-cluster Role, bound to its object id, says what it may do there."""

    def __init__(self, name: str, props: AzureSpinnakerProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("identity:AzureSpinnaker", name, opts)
        group = props.group
        identity = managedidentity.UserAssignedIdentity(
            name, resource_group_name=group.name, location=group.region, resource_name_="lorafleet-spinnaker", opts=self.child()
        )
        managedidentity.FederatedIdentityCredential(
            name,
            resource_group_name=group.name,
            resource_name_=identity.name,
            federated_identity_credential_resource_name="spinnaker",
            issuer=props.issuer,
            subject=props.subject,
            audiences=[_AUDIENCE],
            opts=self.child(),
        )
        authorization.RoleAssignment(
            name,
            scope=props.cluster_id,
            principal_id=identity.principal_id,
            principal_type=authorization.PrincipalType.SERVICE_PRINCIPAL,
            role_definition_id=Role.AKS_CLUSTER_USER.definition(group.subscription),
            opts=self.child(),
        )
        self.client_id: pulumi.Output[str] = identity.client_id
        self.principal_id: pulumi.Output[str] = identity.principal_id
        self.register_outputs({"client_id": self.client_id})
