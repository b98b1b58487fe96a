"""Node pools of GKE."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_gcp import container, projects, serviceaccount

from infra.catalog import GKE_ACCELERATORS
from infra.components.component import Component
from infra.config import SystemPool
from infra.pools import GPU_RESOURCE, SYSTEM_LABELS, TAINT_VALUE, Pool

# The scopes say nothing of rights, which the account's roles do; without them no role works.
_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
_FLEX_HOURS = 24 * 7


class GcpNodeAccount(Component):
    """Who a node is: it writes logs and metrics. Pods cannot become it, for they meet GKE's own metadata server."""

    def __init__(self, name: str, project: str, account_id: str, opts: pulumi.ResourceOptions) -> None:
        super().__init__("pools:GcpNodeAccount", name, opts)
        account = serviceaccount.Account(
            name, project=project, account_id=account_id, display_name="lorafleet nodes", opts=self.child()
        )
        self.grant: pulumi.Resource = projects.IAMMember(
            name, project=project, role="roles/container.defaultNodeServiceAccount", member=account.member, opts=self.child()
        )
        self.email: pulumi.Output[str] = account.email
        self.member: pulumi.Output[str] = account.member
        self.register_outputs({"email": self.email})


@dataclass(frozen=True)
class GcpPoolProps:
    """What every pool of a cluster shares. ``disk_key`` encrypts the nodes' disks."""

    project: str
    region: str
    cluster_name: pulumi.Input[str]
    node_account: pulumi.Input[str]
    disk_key: pulumi.Input[str]


class GcpSystemPool(Component):
    """Plain nodes that are always there."""

    def __init__(
        self, name: str, props: GcpPoolProps, pool: SystemPool, zones: Sequence[str], opts: pulumi.ResourceOptions
    ) -> None:
        super().__init__("pools:GcpSystem", name, opts)
        self.pool: pulumi.Resource = container.NodePool(
            name,
            project=props.project,
            location=props.region,
            cluster=props.cluster_name,
            node_locations=list(zones),
            initial_node_count=1,
            autoscaling=container.NodePoolAutoscalingArgs(
                total_min_node_count=pool.min, total_max_node_count=pool.max, location_policy="BALANCED"
            ),
            management=container.NodePoolManagementArgs(auto_repair=True, auto_upgrade=True),
            node_config=container.NodePoolNodeConfigArgs(
                machine_type=pool.machine,
                disk_size_gb=100,
                boot_disk_kms_key=props.disk_key,
                labels=dict(SYSTEM_LABELS),
                service_account=props.node_account,
                oauth_scopes=list(_SCOPES),
                workload_metadata_config=_metadata(),
                shielded_instance_config=_shielded(),
            ),
            opts=self.child(ignore_changes=["initialNodeCount"]),
        )
        self.register_outputs({})


class GcpGpuPool(Component):
    """GPU nodes from zero; GKE installs the driver, the device plugin and the exporter. ``after`` is the pool made before."""

    def __init__(self, name: str, props: GcpPoolProps, pool: Pool, after: pulumi.Resource, opts: pulumi.ResourceOptions) -> None:
        super().__init__("pools:GcpGpu", name, opts)
        flex = pool.capacity == "flex-start"
        accelerator = container.NodePoolNodeConfigGuestAcceleratorArgs(
            type=GKE_ACCELERATORS[pool.gpu],
            count=pool.gpus,
            gpu_driver_installation_config=container.NodePoolNodeConfigGuestAcceleratorGpuDriverInstallationConfigArgs(
                gpu_driver_version="LATEST"
            ),
        )
        self.pool: pulumi.Resource = container.NodePool(
            name,
            project=props.project,
            location=props.region,
            cluster=props.cluster_name,
            node_locations=list(pool.zones),
            initial_node_count=0,
            autoscaling=container.NodePoolAutoscalingArgs(
                total_min_node_count=0, total_max_node_count=pool.max, location_policy="ANY"
            ),
            # A flex-start node is never repaired: it is given back.
            management=container.NodePoolManagementArgs(auto_repair=not flex, auto_upgrade=True),
            node_config=container.NodePoolNodeConfigArgs(
                machine_type=pool.machine,
                disk_size_gb=pool.disk_gib,
                boot_disk_kms_key=props.disk_key,
                spot=pool.capacity == "spot",
                flex_start=True if flex else None,
                max_run_duration=f"{_FLEX_HOURS * 3600}s" if flex else None,
                guest_accelerators=[accelerator],
                reservation_affinity=_reservation(pool),
                labels=pool.labels,
                # GKE puts the taint there itself; a pool that does not declare it is made anew on every run.
                taints=[container.NodePoolNodeConfigTaintArgs(key=GPU_RESOURCE, value=TAINT_VALUE, effect="NO_SCHEDULE")],
                service_account=props.node_account,
                oauth_scopes=list(_SCOPES),
                workload_metadata_config=_metadata(),
                shielded_instance_config=_shielded(),
            ),
            # GKE changes one pool of a cluster at a time, and refuses the second.
            opts=self.child(ignore_changes=["initialNodeCount"], depends_on=[after]),
        )
        self.register_outputs({})


def _reservation(pool: Pool) -> container.NodePoolNodeConfigReservationAffinityArgs:
    if pool.reservation is None:
        return container.NodePoolNodeConfigReservationAffinityArgs(consume_reservation_type="NO_RESERVATION")
    return container.NodePoolNodeConfigReservationAffinityArgs(
        consume_reservation_type="SPECIFIC_RESERVATION",
        key="compute.googleapis.com/reservation-name",
        values=[pool.reservation],
    )


def _metadata() -> container.NodePoolNodeConfigWorkloadMetadataConfigArgs:
    return container.NodePoolNodeConfigWorkloadMetadataConfigArgs(mode="GKE_METADATA")


def _shielded() -> container.NodePoolNodeConfigShieldedInstanceConfigArgs:
    return container.NodePoolNodeConfigShieldedInstanceConfigArgs(enable_secure_boot=True, enable_integrity_monitoring=True)
