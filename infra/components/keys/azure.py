"""A key vault with the one key of a site on Azure, and the identity that stores use it as."""

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import authorization, keyvault, managedidentity

from infra.azure_roles import Role
from infra.components.azure_group import AzureGroup
from infra.components.azure_lock import lock
from infra.components.component import Component

_ROTATES_AFTER = "P90D"
_EXPIRES_AFTER = "P2Y"
_TAKEN_BACK_DAYS = 90


@dataclass(frozen=True)
class AzureKeyProps:
    """``cluster_principal`` is the control plane's identity, which encrypts secrets with the key."""

    group: AzureGroup
    tenant: str
    cluster_principal: pulumi.Input[str]


class AzureKey(Component):
    """Rights by role only; a deleted key or vault can be taken back. ``grants`` is what a user of the key waits for."""

    def __init__(self, name: str, props: AzureKeyProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("keys:Azure", name, opts)
        group = props.group
        # A deleted vault keeps its name for months: with a name that Pulumi invents, a site can be built again.
        vault = keyvault.Vault(
            name,
            resource_group_name=group.name,
            location=group.region,
            properties=keyvault.VaultPropertiesArgs(
                tenant_id=props.tenant,
                sku=keyvault.SkuArgs(family=keyvault.SkuFamily.A, name=keyvault.SkuName.PREMIUM),
                enable_rbac_authorization=True,
                enable_purge_protection=True,
                enable_soft_delete=True,
                soft_delete_retention_in_days=_TAKEN_BACK_DAYS,
            ),
            opts=self.child(protect=group.protect),
        )
        lock(self, name, group, vault.id)
        key = keyvault.Key(
            name,
            resource_group_name=group.name,
            vault_name=vault.name,
            key_name="site",
            properties=keyvault.KeyPropertiesArgs(
                kty=keyvault.JsonWebKeyType.RSA,
                key_size=3072,
                rotation_policy=keyvault.RotationPolicyArgs(
                    attributes=keyvault.KeyRotationPolicyAttributesArgs(expiry_time=_EXPIRES_AFTER),
                    lifetime_actions=[
                        keyvault.LifetimeActionArgs(
                            action=keyvault.ActionArgs(type=keyvault.KeyRotationPolicyActionType.ROTATE),
                            trigger=keyvault.TriggerArgs(time_after_create=_ROTATES_AFTER),
                        )
                    ],
                ),
            ),
            opts=self.child(protect=group.protect),
        )
        stores = managedidentity.UserAssignedIdentity(
            name, resource_group_name=group.name, location=group.region, resource_name_=f"lorafleet-{name}", opts=self.child()
        )
        users = {
            "stores": (stores.principal_id, Role.KEY_VAULT_CRYPTO_SERVICE_ENCRYPTION_USER),
            "cluster": (props.cluster_principal, Role.KEY_VAULT_CRYPTO_USER),
        }
        self.grants: list[pulumi.Resource] = [
            authorization.RoleAssignment(
                f"{name}-{user}",
                scope=vault.id,
                principal_id=principal,
                principal_type=authorization.PrincipalType.SERVICE_PRINCIPAL,
                role_definition_id=role.definition(group.subscription),
                opts=self.child(),
            )
            for user, (principal, role) in users.items()
        ]
        self.vault_uri: pulumi.Output[str] = vault.properties.vault_uri
        self.key_name: pulumi.Output[str] = key.name
        self.key_uri: pulumi.Output[str] = key.key_uri
        self.key_version_uri: pulumi.Output[str] = key.key_uri_with_version
        self.stores_identity: pulumi.Output[str] = stores.id
        self.stores_client: pulumi.Output[str] = stores.client_id
        self.register_outputs({"key_uri": self.key_uri})
