"""Agent pools of AKS."""

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import containerservice

from infra.components.azure_group import AzureGroup
from infra.components.component import Component
from infra.contract import AKS_SPOT
from infra.pools import GPU_RESOURCE, TAINT_VALUE, Pool

_NO_PRICE_LIMIT = -1.0


@dataclass(frozen=True)
class AzurePoolProps:
    """What every GPU pool of a cluster shares."""

    group: AzureGroup
    cluster_name: pulumi.Input[str]
    version: str
    subnet_id: pulumi.Input[str]


class AzureGpuPool(Component):
    """GPU nodes from zero; AKS installs the driver, the in-cluster stack the device plugin."""

    def __init__(self, name: str, props: AzurePoolProps, pool: Pool, opts: pulumi.ResourceOptions) -> None:
        super().__init__("pools:AzureGpu", name, opts)
        spot = pool.capacity == "spot"
        labels, taints = pool.labels, [f"{GPU_RESOURCE}={TAINT_VALUE}:NoSchedule"]
        if spot:
            key, value = AKS_SPOT
            labels, taints = {**labels, key: value}, [*taints, f"{key}={value}:NoSchedule"]
        containerservice.AgentPool(
            name,
            resource_group_name=props.group.name,
            resource_name_=props.cluster_name,
            agent_pool_name=pool.name,
            mode=containerservice.AgentPoolMode.USER,
            type=containerservice.AgentPoolType.VIRTUAL_MACHINE_SCALE_SETS,
            os_type=containerservice.OSType.LINUX,
            os_sku=containerservice.OSSKU.UBUNTU,
            orchestrator_version=props.version,
            os_disk_size_gb=pool.disk_gib,
            vm_size=pool.machine,
            vnet_subnet_id=props.subnet_id,
            availability_zones=list(pool.zones) or None,
            enable_auto_scaling=True,
            count=0,
            min_count=0,
            max_count=pool.max,
            scale_set_priority=containerservice.ScaleSetPriority.SPOT if spot else containerservice.ScaleSetPriority.REGULAR,
            scale_set_eviction_policy=containerservice.ScaleSetEvictionPolicy.DELETE if spot else None,
            spot_max_price=_NO_PRICE_LIMIT if spot else None,
            capacity_reservation_group_id=pool.reservation,
            gpu_profile=containerservice.GPUProfileArgs(driver=containerservice.GPUDriver.INSTALL),
            node_labels=labels,
            node_taints=taints,
            opts=self.child(ignore_changes=["count"]),
        )
        self.register_outputs({})
