"""The GKE control plane, in every zone of the region."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_gcp import container, projects

from infra.components.component import Component
from infra.components.network.gcp import PODS, SERVICES

_LOGGED = ("SYSTEM_COMPONENTS", "WORKLOADS", "APISERVER", "CONTROLLER_MANAGER", "SCHEDULER")
_MEASURED = ("SYSTEM_COMPONENTS", "DCGM")
_AUDITED = ("ADMIN_READ", "DATA_READ", "DATA_WRITE")


@dataclass(frozen=True)
class GcpClusterProps:
    """``api_allow`` are the outside ranges that reach the API; none makes it private."""

    project: str
    region: str
    cluster_name: str
    version: str
    network_id: pulumi.Input[str]
    subnet_id: pulumi.Input[str]
    api_allow: tuple[str, ...]
    key_id: pulumi.Input[str]
    node_account: pulumi.Input[str]
    protect: bool


class GcpCluster(Component):
    """Private nodes, Dataplane V2 (which enforces network policies), workload identity; pools are made apart."""

    def __init__(
        self, name: str, props: GcpClusterProps, opts: pulumi.ResourceOptions, *, depends_on: Sequence[pulumi.Resource]
    ) -> None:
        super().__init__("cluster:Gcp", name, opts)
        projects.IAMAuditConfig(
            name,
            project=props.project,
            service="container.googleapis.com",
            audit_log_configs=[projects.IAMAuditConfigAuditLogConfigArgs(log_type=kind) for kind in _AUDITED],
            opts=self.child(retain_on_delete=True),
        )
        cluster = container.Cluster(
            name,
            name=props.cluster_name,
            project=props.project,
            location=props.region,
            min_master_version=props.version,
            release_channel=container.ClusterReleaseChannelArgs(channel="REGULAR"),
            network=props.network_id,
            subnetwork=props.subnet_id,
            networking_mode="VPC_NATIVE",
            ip_allocation_policy=container.ClusterIpAllocationPolicyArgs(
                cluster_secondary_range_name=PODS, services_secondary_range_name=SERVICES
            ),
            datapath_provider="ADVANCED_DATAPATH",
            private_cluster_config=container.ClusterPrivateClusterConfigArgs(
                enable_private_nodes=True, enable_private_endpoint=not props.api_allow
            ),
            master_authorized_networks_config=container.ClusterMasterAuthorizedNetworksConfigArgs(
                cidr_blocks=[
                    container.ClusterMasterAuthorizedNetworksConfigCidrBlockArgs(cidr_block=allowed) for allowed in props.api_allow
                ],
                gcp_public_cidrs_access_enabled=False,
            ),
            # The DNS endpoint knows no address list: it stays closed to the outside.
            control_plane_endpoints_config=container.ClusterControlPlaneEndpointsConfigArgs(
                dns_endpoint_config=container.ClusterControlPlaneEndpointsConfigDnsEndpointConfigArgs(allow_external_traffic=False)
            ),
            workload_identity_config=container.ClusterWorkloadIdentityConfigArgs(workload_pool=f"{props.project}.svc.id.goog"),
            database_encryption=container.ClusterDatabaseEncryptionArgs(state="ENCRYPTED", key_name=props.key_id),
            addons_config=container.ClusterAddonsConfigArgs(
                gcp_filestore_csi_driver_config=container.ClusterAddonsConfigGcpFilestoreCsiDriverConfigArgs(enabled=True)
            ),
            logging_config=container.ClusterLoggingConfigArgs(enable_components=list(_LOGGED)),
            monitoring_config=container.ClusterMonitoringConfigArgs(
                enable_components=list(_MEASURED),
                managed_prometheus=container.ClusterMonitoringConfigManagedPrometheusArgs(enabled=True),
            ),
            enable_shielded_nodes=True,
            # GKE wants a first pool to start with; it lives for minutes, and must not run as the project's default account.
            remove_default_node_pool=True,
            initial_node_count=1,
            node_config=container.ClusterNodeConfigArgs(service_account=props.node_account),
            deletion_protection=props.protect,
            opts=self.child(protect=props.protect, depends_on=depends_on, ignore_changes=["nodeConfig"]),
        )
        self.cluster_name: pulumi.Output[str] = cluster.name
        self.cluster_id: pulumi.Output[str] = cluster.id
        self.self_link: pulumi.Output[str] = cluster.self_link
        self.endpoint: pulumi.Output[str] = pulumi.Output.concat("https://", cluster.endpoint)
        # The client key beside it, which is empty, would make it secret; an authority is public.
        self.ca: pulumi.Output[str] = pulumi.Output.unsecret(cluster.master_auth.cluster_ca_certificate)
        self.resource: pulumi.Resource = cluster
        self.register_outputs({"self_link": self.self_link, "endpoint": self.endpoint})
