"""The AKS control plane with its one pool of system nodes."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import yaml
from pulumi_azure_native import authorization, containerservice, managedidentity, monitor, operationalinsights

from infra.addresses import AZURE_PODS, AZURE_SERVICES
from infra.azure_roles import Role
from infra.components.azure_group import AzureGroup
from infra.components.component import Component
from infra.config import SystemPool
from infra.pools import SYSTEM_LABELS

_LOGGED = ("kube-apiserver", "kube-audit", "kube-controller-manager", "kube-scheduler", "guard")
_LOG_RETENTION_DAYS = 365


class AzureClusterIdentity(Component):
    """Who the control plane is; it is granted rights before the cluster is made."""

    def __init__(self, name: str, group: AzureGroup, opts: pulumi.ResourceOptions) -> None:
        super().__init__("cluster:AzureIdentity", name, opts)
        identity = managedidentity.UserAssignedIdentity(
            name, resource_group_name=group.name, location=group.region, resource_name_="lorafleet-cluster", opts=self.child()
        )
        self.id: pulumi.Output[str] = identity.id
        self.principal: pulumi.Output[str] = identity.principal_id
        self.register_outputs({"id": self.id})


@dataclass(frozen=True)
class AzureClusterProps:
    """``api_allow`` are the outside ranges that reach the API; none makes it private. ``egress`` is the site's own address.

    ``node_group`` is the resource group that AKS makes for the nodes.
    """

    group: AzureGroup
    cluster_name: str
    node_group: str
    version: str
    identity: pulumi.Input[str]
    identity_principal: pulumi.Input[str]
    subnet_id: pulumi.Input[str]
    vnet_id: pulumi.Input[str]
    egress: pulumi.Input[str]
    api_allow: tuple[str, ...]
    key_version_uri: pulumi.Input[str]
    tenant: str
    operators: tuple[str, ...]
    system: SystemPool
    zones: tuple[str, ...]


class AzureCluster(Component):
    """Entra identities only, no local accounts; Cilium enforces network policies."""

    def __init__(
        self, name: str, props: AzureClusterProps, opts: pulumi.ResourceOptions, *, depends_on: Sequence[pulumi.Resource]
    ) -> None:
        super().__init__("cluster:Azure", name, opts)
        group = props.group
        routes = authorization.RoleAssignment(
            f"{name}-network",
            scope=props.vnet_id,
            principal_id=props.identity_principal,
            principal_type=authorization.PrincipalType.SERVICE_PRINCIPAL,
            role_definition_id=Role.NETWORK_CONTRIBUTOR.definition(group.subscription),
            opts=self.child(),
        )
        # Nodes come to a public API through the NAT gateway, as everybody else does.
        allowed = [*props.api_allow, pulumi.Output.concat(props.egress, "/32")] if props.api_allow else None
        cluster = containerservice.ManagedCluster(
            name,
            resource_group_name=group.name,
            location=group.region,
            resource_name_=props.cluster_name,
            kubernetes_version=props.version,
            dns_prefix=props.cluster_name,
            node_resource_group=props.node_group,
            sku=containerservice.ManagedClusterSKUArgs(
                name=containerservice.ManagedClusterSKUName.BASE, tier=containerservice.ManagedClusterSKUTier.STANDARD
            ),
            identity=containerservice.ManagedClusterIdentityArgs(
                type=containerservice.ResourceIdentityType.USER_ASSIGNED, user_assigned_identities=[props.identity]
            ),
            disable_local_accounts=True,
            enable_rbac=True,
            # Rights inside are Kubernetes' own: no Azure role lets anybody in by the way.
            aad_profile=containerservice.ManagedClusterAADProfileArgs(
                managed=True,
                enable_azure_rbac=False,
                tenant_id=props.tenant,
                admin_group_object_ids=list(props.operators),
            ),
            oidc_issuer_profile=containerservice.ManagedClusterOIDCIssuerProfileArgs(enabled=True),
            security_profile=containerservice.ManagedClusterSecurityProfileArgs(
                workload_identity=containerservice.ManagedClusterSecurityProfileWorkloadIdentityArgs(enabled=True),
                image_cleaner=containerservice.ManagedClusterSecurityProfileImageCleanerArgs(enabled=True, interval_hours=168),
                azure_key_vault_kms=containerservice.AzureKeyVaultKmsArgs(
                    enabled=True,
                    key_id=props.key_version_uri,
                    key_vault_network_access=containerservice.KeyVaultNetworkAccessTypes.PUBLIC,
                ),
            ),
            api_server_access_profile=containerservice.ManagedClusterAPIServerAccessProfileArgs(
                authorized_ip_ranges=allowed,
                enable_private_cluster=not props.api_allow,
                private_dns_zone=None if props.api_allow else "system",
                disable_run_command=True,
            ),
            network_profile=containerservice.ContainerServiceNetworkProfileArgs(
                network_plugin=containerservice.NetworkPlugin.AZURE,
                network_plugin_mode=containerservice.NetworkPluginMode.OVERLAY,
                network_dataplane=containerservice.NetworkDataplane.CILIUM,
                network_policy=containerservice.NetworkPolicy.CILIUM,
                outbound_type=containerservice.OutboundType.USER_ASSIGNED_NAT_GATEWAY,
                pod_cidr=str(AZURE_PODS),
                service_cidr=str(AZURE_SERVICES),
                dns_service_ip=str(AZURE_SERVICES[10]),
            ),
            storage_profile=containerservice.ManagedClusterStorageProfileArgs(
                disk_csi_driver=containerservice.ManagedClusterStorageProfileDiskCSIDriverArgs(enabled=True),
                file_csi_driver=containerservice.ManagedClusterStorageProfileFileCSIDriverArgs(enabled=True),
            ),
            auto_upgrade_profile=containerservice.ManagedClusterAutoUpgradeProfileArgs(
                upgrade_channel=containerservice.UpgradeChannel.PATCH,
                node_os_upgrade_channel=containerservice.NodeOSUpgradeChannel.NODE_IMAGE,
            ),
            node_resource_group_profile=containerservice.ManagedClusterNodeResourceGroupProfileArgs(
                restriction_level=containerservice.RestrictionLevel.READ_ONLY
            ),
            agent_pool_profiles=[_system_pool(props)],
            opts=self.child(
                protect=group.protect,
                depends_on=[*depends_on, routes],
                ignore_changes=["agentPoolProfiles[0].count"],
            ),
        )
        logs = operationalinsights.Workspace(
            name,
            resource_group_name=group.name,
            location=group.region,
            workspace_name=f"{props.cluster_name}-logs",
            sku=operationalinsights.WorkspaceSkuArgs(name=operationalinsights.WorkspaceSkuNameEnum.PER_GB2018),
            retention_in_days=_LOG_RETENTION_DAYS,
            opts=self.child(protect=group.protect),
        )
        monitor.DiagnosticSetting(
            name,
            name="lorafleet-audit",
            resource_uri=cluster.id,
            workspace_id=logs.id,
            logs=[monitor.DiagnosticsLogSettingsArgs(category=category, enabled=True) for category in _LOGGED],
            opts=self.child(),
        )
        # The cluster itself says nothing of its certificate authority; this kubeconfig holds no credential, and is left behind.
        told = containerservice.list_managed_cluster_user_credentials_output(
            resource_group_name=group.name, resource_name=cluster.name, opts=pulumi.InvokeOutputOptions(parent=self)
        )
        address = cluster.fqdn if props.api_allow else cluster.private_fqdn
        self.cluster_name: pulumi.Output[str] = cluster.name
        self.id: pulumi.Output[str] = cluster.id
        self.endpoint: pulumi.Output[str] = pulumi.Output.concat("https://", address, ":443")
        self.ca: pulumi.Output[str] = pulumi.Output.unsecret(told.kubeconfigs[0].value.apply(certificate_authority))
        self.issuer: pulumi.Output[str] = cluster.oidc_issuer_profile.issuer_url
        self.kubelet: pulumi.Output[str] = cluster.identity_profile["kubeletidentity"].object_id
        self.resource: pulumi.Resource = cluster
        self.register_outputs({"id": self.id, "endpoint": self.endpoint})


def _system_pool(props: AzureClusterProps) -> containerservice.ManagedClusterAgentPoolProfileArgs:
    return containerservice.ManagedClusterAgentPoolProfileArgs(
        name="system",
        mode=containerservice.AgentPoolMode.SYSTEM,
        type=containerservice.AgentPoolType.VIRTUAL_MACHINE_SCALE_SETS,
        os_type=containerservice.OSType.LINUX,
        os_sku=containerservice.OSSKU.UBUNTU,
        orchestrator_version=props.version,
        vm_size=props.system.machine,
        vnet_subnet_id=props.subnet_id,
        availability_zones=list(props.zones),
        enable_auto_scaling=True,
        count=props.system.min,
        min_count=props.system.min,
        max_count=props.system.max,
        node_labels=dict(SYSTEM_LABELS),
    )


def certificate_authority(kubeconfig: str) -> str:
    """The certificate authority (base64) in a kubeconfig (base64), and nothing else of it.

    Raises:
        ValueError: the kubeconfig names none. The message never holds the kubeconfig.
    """
    try:
        document: object = yaml.safe_load(base64.b64decode(kubeconfig, validate=True))
    except (binascii.Error, yaml.YAMLError):
        document = None
    clusters = document.get("clusters") if isinstance(document, Mapping) else None
    cluster = clusters[0].get("cluster") if isinstance(clusters, list) and clusters and isinstance(clusters[0], Mapping) else None
    ca = cluster.get("certificate-authority-data") if isinstance(cluster, Mapping) else None
    if not isinstance(ca, str):
        raise ValueError("AKS gave a kubeconfig without a certificate authority")
    return ca
