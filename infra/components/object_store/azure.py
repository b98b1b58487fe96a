"""Azure Blob Storage: one account and container a site."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import storage

from infra.components.azure_group import AzureGroup
from infra.components.azure_lock import lock
from infra.components.component import Component
from infra.components.object_store.lifecycle import NONCURRENT_DAYS

CONTAINER = "lorafleet"


@dataclass(frozen=True)
class AzureStoreKey:
    """The key that an account is encrypted with, and the identity that uses it."""

    vault_uri: pulumi.Input[str]
    key_name: pulumi.Input[str]
    identity: pulumi.Input[str]

    def encryption(self) -> storage.EncryptionArgs:
        """As a storage account wants it; without a version, so that a rotated key is taken up."""
        return storage.EncryptionArgs(
            key_source=storage.KeySource.MICROSOFT_KEYVAULT,
            key_vault_properties=storage.KeyVaultPropertiesArgs(key_vault_uri=self.vault_uri, key_name=self.key_name),
            encryption_identity=storage.EncryptionIdentityArgs(encryption_user_assigned_identity=self.identity),
            require_infrastructure_encryption=True,
        )

    def account_identity(self) -> storage.IdentityArgs:
        """Lets the account be that identity."""
        return storage.IdentityArgs(type=storage.IdentityType.USER_ASSIGNED, user_assigned_identities=[self.identity])


@dataclass(frozen=True)
class AzureObjectStoreProps:
    """``account`` is the account's name in the world."""

    group: AzureGroup
    account: str
    key: AzureStoreKey


class AzureObjectStore(Component):
    """Encrypted, versioned, private, over TLS 1.2 or newer only, and no shared keys: every grant bears an identity."""

    def __init__(
        self, name: str, props: AzureObjectStoreProps, opts: pulumi.ResourceOptions, *, depends_on: Sequence[pulumi.Resource]
    ) -> None:
        super().__init__("object_store:Azure", name, opts)
        group = props.group
        account = storage.StorageAccount(
            name,
            resource_group_name=group.name,
            location=group.region,
            account_name=props.account,
            kind=storage.Kind.STORAGE_V2,
            sku=storage.SkuArgs(name=storage.SkuName.STANDARD_ZRS),
            enable_https_traffic_only=True,
            minimum_tls_version=storage.MinimumTlsVersion.TLS1_2,
            allow_blob_public_access=False,
            allow_shared_key_access=False,
            allow_cross_tenant_replication=False,
            identity=props.key.account_identity(),
            encryption=props.key.encryption(),
            opts=self.child(protect=group.protect, depends_on=depends_on),
        )
        lock(self, name, group, account.id)
        kept = storage.DeleteRetentionPolicyArgs(enabled=True, days=NONCURRENT_DAYS)
        service = storage.BlobServiceProperties(
            name,
            resource_group_name=group.name,
            account_name=account.name,
            blob_services_name="default",
            is_versioning_enabled=True,
            delete_retention_policy=kept,
            container_delete_retention_policy=kept,
            opts=self.child(),
        )
        container = storage.BlobContainer(
            name,
            resource_group_name=group.name,
            account_name=account.name,
            container_name=CONTAINER,
            public_access=storage.PublicAccess.NONE,
            opts=self.child(protect=group.protect, depends_on=[service]),
        )
        old = storage.ManagementPolicyVersionArgs(
            delete=storage.DateAfterCreationArgs(days_after_creation_greater_than=NONCURRENT_DAYS)
        )
        storage.ManagementPolicy(
            name,
            resource_group_name=group.name,
            account_name=account.name,
            management_policy_name="default",
            policy=storage.ManagementPolicySchemaArgs(
                rules=[
                    storage.ManagementPolicyRuleArgs(
                        name="overwritten",
                        type=storage.RuleType.LIFECYCLE,
                        enabled=True,
                        definition=storage.ManagementPolicyDefinitionArgs(
                            filters=storage.ManagementPolicyFilterArgs(blob_types=["blockBlob"]),
                            actions=storage.ManagementPolicyActionArgs(version=old),
                        ),
                    )
                ]
            ),
            opts=self.child(depends_on=[service]),
        )
        self.container_id: pulumi.Output[str] = container.id
        self.url: pulumi.Output[str] = pulumi.Output.concat("az://", account.name, "/", container.name)
        self.register_outputs({"url": self.url})
