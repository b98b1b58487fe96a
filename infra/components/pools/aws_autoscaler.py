"""The rights of the cluster autoscaler, which the in-cluster stack installs: EKS has none of its own."""

from dataclasses import dataclass

import pulumi
from pulumi_aws import eks, iam

from infra.components.component import Component
from infra.components.iam_policy import Statement, document, pod_trust

NAMESPACE = "kube-system"
SERVICE_ACCOUNT = "cluster-autoscaler"
_READS = (
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:DescribeAutoScalingInstances",
    "autoscaling:DescribeLaunchConfigurations",
    "autoscaling:DescribeScalingActivities",
    "autoscaling:DescribeTags",
    "ec2:DescribeImages",
    "ec2:DescribeInstanceTypes",
    "ec2:DescribeLaunchTemplateVersions",
    "ec2:GetInstanceTypesFromInstanceRequirements",
)


@dataclass(frozen=True)
class AwsAutoscalerProps:
    """The cluster whose groups it sizes."""

    account: str
    cluster_name: pulumi.Input[str]
    cluster_arn: pulumi.Input[str]


class AwsAutoscalerIdentity(Component):
    """Reads every group, sizes only this cluster's."""

    def __init__(self, name: str, props: AwsAutoscalerProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("pools:AwsAutoscaler", name, opts)
        role = iam.Role(name, assume_role_policy=pod_trust(props.account, props.cluster_arn), opts=self.child())
        # EKS puts this tag on the groups of its node groups.
        own = {"aws:ResourceTag/eks:cluster-name": props.cluster_name}
        group = pulumi.Output.concat("arn:aws:eks:*:", props.account, ":nodegroup/", props.cluster_name, "/*")
        sizes = ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"]
        iam.RolePolicy(
            name,
            role=role.name,
            policy=document(
                Statement("Read", _READS, ["*"]),
                Statement("ReadGroups", ["eks:DescribeNodegroup"], [group]),
                Statement("SizeOwnGroups", sizes, ["*"], condition={"StringEquals": own}),
            ),
            opts=self.child(),
        )
        eks.PodIdentityAssociation(
            name,
            cluster_name=props.cluster_name,
            namespace=NAMESPACE,
            service_account=SERVICE_ACCOUNT,
            role_arn=role.arn,
            opts=self.child(),
        )
        self.register_outputs({})
