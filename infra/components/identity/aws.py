"""IAM roles of the trainer's pods and of Spinnaker."""

from dataclasses import dataclass

import pulumi
from pulumi_aws import eks, iam

from infra.components.component import Component
from infra.components.iam_policy import Statement, document, pod_trust
from infra.components.identity.prefix import TRAINER_PREFIX


@dataclass(frozen=True)
class AwsTrainerProps:
    """The service account, and the bucket of which it sees one prefix."""

    account: str
    region: str
    cluster_name: pulumi.Input[str]
    cluster_arn: pulumi.Input[str]
    namespace: str
    service_account: str
    bucket_arn: pulumi.Input[str]
    key_arn: pulumi.Input[str]


class AwsTrainerIdentity(Component):
    """Reads and writes objects of jobs, and nothing else; it deletes nothing."""

    def __init__(self, name: str, props: AwsTrainerProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("identity:AwsTrainer", name, opts)
        role = iam.Role(name, assume_role_policy=pod_trust(props.account, props.cluster_arn), opts=self.child())
        objects = pulumi.Output.concat(props.bucket_arn, f"/{TRAINER_PREFIX}*")
        listed = {"StringLike": {"s3:prefix": f"{TRAINER_PREFIX}*"}}
        through_s3 = {"StringEquals": {"kms:ViaService": f"s3.{props.region}.amazonaws.com"}}
        iam.RolePolicy(
            name,
            role=role.name,
            policy=document(
                Statement("Objects", ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"], [objects]),
                Statement("List", ["s3:ListBucket"], [props.bucket_arn], condition=listed),
                Statement("Key", ["kms:Decrypt", "kms:GenerateDataKey"], [props.key_arn], condition=through_s3),
            ),
            opts=self.child(),
        )
        eks.PodIdentityAssociation(
            name,
            cluster_name=props.cluster_name,
            namespace=props.namespace,
            service_account=props.service_account,
            role_arn=role.arn,
            opts=self.child(),
        )
        self.role_arn: pulumi.Output[str] = role.arn
        self.register_outputs({"role_arn": self.role_arn})


@dataclass(frozen=True)
class AwsSpinnakerProps:
    """Who may take the role, and the Kubernetes group that it is in."""

    cluster_name: pulumi.Input[str]
    cluster_arn: pulumi.Input[str]
    principal: str
    group: str


class AwsSpinnakerIdentity(Component):
    """Knows where the cluster's API is, and is in one Kubernetes group; the in-cluster Role says what the group may do."""

    def __init__(self, name: str, props: AwsSpinnakerProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("identity:AwsSpinnaker", name, opts)
        trust = document(Statement("Spinnaker", ["sts:AssumeRole"], principal={"AWS": props.principal}))
        role = iam.Role(name, assume_role_policy=trust, max_session_duration=3600, opts=self.child())
        iam.RolePolicy(
            name,
            role=role.name,
            policy=document(Statement("FindTheApi", ["eks:DescribeCluster"], [props.cluster_arn])),
            opts=self.child(),
        )
        eks.AccessEntry(
            name,
            cluster_name=props.cluster_name,
            principal_arn=role.arn,
            type="STANDARD",
            kubernetes_groups=[props.group],
            opts=self.child(),
        )
        self.role_arn: pulumi.Output[str] = role.arn
        self.register_outputs({"role_arn": self.role_arn})
