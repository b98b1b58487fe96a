"""Node groups of EKS."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import autoscaling, ec2, eks, iam

from infra.components.component import Component
from infra.components.iam_policy import service_trust
from infra.config import SystemPool
from infra.pools import GPU_RESOURCE, SYSTEM_LABELS, TAINT_VALUE, Pool

# The network add-on runs as the node: pods cannot, since the metadata service is one hop away only.
_NODE_POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly", "AmazonEKS_CNI_Policy")
_CAPACITY = {"on-demand": "ON_DEMAND", "reserved": "ON_DEMAND", "spot": "SPOT", "capacity-block": "CAPACITY_BLOCK"}
_ROOT_DEVICE = "/dev/xvda"


class AwsNodeRole(Component):
    """What a node may do: join, pull images, set up its network."""

    def __init__(self, name: str, opts: pulumi.ResourceOptions) -> None:
        super().__init__("pools:AwsNodeRole", name, opts)
        role = iam.Role(name, assume_role_policy=service_trust("ec2.amazonaws.com"), opts=self.child())
        self.attachments: list[pulumi.Resource] = [
            iam.RolePolicyAttachment(
                f"{name}-{policy}", role=role.name, policy_arn=f"arn:aws:iam::aws:policy/{policy}", opts=self.child()
            )
            for policy in _NODE_POLICIES
        ]
        self.arn: pulumi.Output[str] = role.arn
        self.register_outputs({"arn": self.arn})


@dataclass(frozen=True)
class AwsPoolProps:
    """What every pool of a cluster shares. ``subnets`` is by zone id, ``after`` what a node needs to become ready.

    ``tags`` are of each machine and its disk: the provider's own do not reach them.
    """

    cluster_name: pulumi.Input[str]
    node_role_arn: pulumi.Input[str]
    subnets: Mapping[str, pulumi.Input[str]]
    after: Sequence[pulumi.Resource]
    tags: Mapping[str, str]


class AwsSystemPool(Component):
    """Plain nodes that are always there."""

    def __init__(self, name: str, props: AwsPoolProps, pool: SystemPool, opts: pulumi.ResourceOptions) -> None:
        super().__init__("pools:AwsSystem", name, opts)
        template = _launch_template(self, name, 50, props.tags)
        self.group: pulumi.Resource = eks.NodeGroup(
            name,
            cluster_name=props.cluster_name,
            node_role_arn=props.node_role_arn,
            subnet_ids=list(props.subnets.values()),
            ami_type="AL2023_x86_64_STANDARD",
            capacity_type="ON_DEMAND",
            instance_types=[pool.machine],
            scaling_config=eks.NodeGroupScalingConfigArgs(desired_size=pool.min, min_size=pool.min, max_size=pool.max),
            launch_template=eks.NodeGroupLaunchTemplateArgs(id=template.id, version=_version(template)),
            update_config=eks.NodeGroupUpdateConfigArgs(max_unavailable=1),
            node_repair_config=eks.NodeGroupNodeRepairConfigArgs(enabled=True),
            labels=dict(SYSTEM_LABELS),
            opts=self.child(ignore_changes=["scalingConfig.desiredSize"], depends_on=props.after),
        )
        self.register_outputs({})


class AwsGpuPool(Component):
    """GPU nodes from zero, in the zones where the machine type stands; the driver comes with the image."""

    def __init__(self, name: str, props: AwsPoolProps, pool: Pool, opts: pulumi.ResourceOptions) -> None:
        super().__init__("pools:AwsGpu", name, opts)
        template = _launch_template(self, name, pool.disk_gib, props.tags, pool)
        group = eks.NodeGroup(
            name,
            cluster_name=props.cluster_name,
            node_role_arn=props.node_role_arn,
            subnet_ids=[props.subnets[zone] for zone in pool.zones],
            ami_type="AL2023_x86_64_NVIDIA",
            capacity_type=_CAPACITY[pool.capacity],
            # A capacity block wants its machine type in the launch template.
            instance_types=None if pool.capacity == "capacity-block" else [pool.machine],
            scaling_config=eks.NodeGroupScalingConfigArgs(desired_size=0, min_size=0, max_size=pool.max),
            launch_template=eks.NodeGroupLaunchTemplateArgs(id=template.id, version=_version(template)),
            update_config=eks.NodeGroupUpdateConfigArgs(max_unavailable=1),
            node_repair_config=eks.NodeGroupNodeRepairConfigArgs(enabled=True),
            labels=pool.labels,
            taints=[eks.NodeGroupTaintArgs(key=GPU_RESOURCE, value=TAINT_VALUE, effect="NO_SCHEDULE")],
            opts=self.child(ignore_changes=["scalingConfig.desiredSize"], depends_on=props.after),
        )
        group_name = group.resources[0].autoscaling_groups[0].name
        for key, value in _autoscaler_tags(pool).items():
            # An empty group has no node that the autoscaler could learn these from.
            autoscaling.Tag(
                f"{name}-{key}",
                autoscaling_group_name=group_name,
                tag=autoscaling.TagTagArgs(key=key, value=value, propagate_at_launch=False),
                opts=self.child(),
            )
        self.register_outputs({})


def _autoscaler_tags(pool: Pool) -> dict[str, str]:
    template = "k8s.io/cluster-autoscaler/node-template"
    return {
        **{f"{template}/label/{key}": value for key, value in pool.labels.items()},
        f"{template}/taint/{GPU_RESOURCE}": f"{TAINT_VALUE}:NoSchedule",
        f"{template}/resources/{GPU_RESOURCE}": str(pool.gpus),
    }


def _version(template: ec2.LaunchTemplate) -> pulumi.Output[str]:
    version: pulumi.Output[str] = template.latest_version.apply(str)
    return version


def _launch_template(
    component: Component, name: str, disk_gib: int, tags: Mapping[str, str], pool: Pool | None = None
) -> ec2.LaunchTemplate:
    block = pool is not None and pool.capacity == "capacity-block"
    reservation = None
    if pool is not None and pool.reservation is not None:
        reservation = ec2.LaunchTemplateCapacityReservationSpecificationArgs(
            capacity_reservation_target=ec2.LaunchTemplateCapacityReservationSpecificationCapacityReservationTargetArgs(
                capacity_reservation_id=pool.reservation
            )
        )
    return ec2.LaunchTemplate(
        name,
        instance_type=pool.machine if block and pool else None,
        instance_market_options=ec2.LaunchTemplateInstanceMarketOptionsArgs(market_type="capacity-block") if block else None,
        capacity_reservation_specification=reservation,
        metadata_options=ec2.LaunchTemplateMetadataOptionsArgs(
            http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
        ),
        block_device_mappings=[
            ec2.LaunchTemplateBlockDeviceMappingArgs(
                device_name=_ROOT_DEVICE,
                ebs=ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
                    volume_size=disk_gib, volume_type="gp3", encrypted="true", delete_on_termination="true"
                ),
            )
        ],
        tag_specifications=[
            ec2.LaunchTemplateTagSpecificationArgs(resource_type=kind, tags={**tags, "Name": name})
            for kind in ("instance", "volume")
        ],
        opts=component.child(),
    )
