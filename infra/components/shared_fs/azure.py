"""Azure Files over NFS: an account of its own, which answers the nodes' subnet only."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import storage

from infra.components.azure_group import AzureGroup
from infra.components.azure_lock import lock
from infra.components.component import Component
from infra.components.object_store.azure import AzureStoreKey

SHARE = "shared"


@dataclass(frozen=True)
class AzureSharedFsProps:
    """``subnet_id`` is where the nodes are."""

    group: AzureGroup
    account: str
    subnet_id: pulumi.Input[str]
    capacity_gib: int
    key: AzureStoreKey


class AzureSharedFs(Component):
    """``handle`` is the Azure Files driver's name of the share."""

    def __init__(
        self, name: str, props: AzureSharedFsProps, opts: pulumi.ResourceOptions, *, depends_on: Sequence[pulumi.Resource]
    ) -> None:
        super().__init__("shared_fs:Azure", name, opts)
        group = props.group
        account = storage.StorageAccount(
            name,
            resource_group_name=group.name,
            location=group.region,
            account_name=props.account,
            kind=storage.Kind.FILE_STORAGE,
            sku=storage.SkuArgs(name=storage.SkuName.PREMIUM_ZRS),
            # NFS is not HTTPS: with the switch on, the share refuses every mount. The subnet rule below is what guards it.
            enable_https_traffic_only=False,
            minimum_tls_version=storage.MinimumTlsVersion.TLS1_2,
            allow_blob_public_access=False,
            allow_shared_key_access=False,
            network_rule_set=storage.NetworkRuleSetArgs(
                default_action=storage.DefaultAction.DENY,
                bypass=storage.Bypass.NONE,
                virtual_network_rules=[storage.VirtualNetworkRuleArgs(virtual_network_resource_id=props.subnet_id)],
            ),
            identity=props.key.account_identity(),
            encryption=props.key.encryption(),
            opts=self.child(protect=group.protect, depends_on=depends_on),
        )
        lock(self, name, group, account.id)
        share = storage.FileShare(
            name,
            resource_group_name=group.name,
            account_name=account.name,
            share_name=SHARE,
            enabled_protocols=storage.EnabledProtocols.NFS,
            root_squash=storage.RootSquashType.NO_ROOT_SQUASH,
            share_quota=props.capacity_gib,
            opts=self.child(protect=group.protect),
        )
        self.handle: pulumi.Output[str] = pulumi.Output.concat(group.name, "#", account.name, "#", share.name)
        self.register_outputs({"handle": self.handle})
