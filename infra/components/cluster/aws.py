"""The EKS control plane, and who may speak to it."""

from dataclasses import dataclass

import pulumi
from pulumi_aws import cloudwatch, eks, iam

from infra.components.component import Component
from infra.components.iam_policy import Statement, document, service_trust

_LOGS = ("api", "audit", "authenticator", "controllerManager", "scheduler")
_ADMIN_POLICY = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
LOG_RETENTION_DAYS = 365


@dataclass(frozen=True)
class AwsClusterProps:
    """``api_allow`` are the outside ranges that reach the API; none makes it private. ``log_group`` is EKS's own name."""

    cluster_name: str
    version: str
    subnet_ids: tuple[pulumi.Input[str], ...]
    services: str
    api_allow: tuple[str, ...]
    key_arn: pulumi.Input[str]
    log_group: str
    operators: tuple[str, ...]
    protect: bool


class AwsCluster(Component):
    """Only access entries open it: whoever creates it gets no right to administer it by that."""

    def __init__(self, name: str, props: AwsClusterProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("cluster:Aws", name, opts)
        # EKS would make the group itself, without an end and without the key.
        logs = cloudwatch.LogGroup(
            name,
            name=props.log_group,
            retention_in_days=LOG_RETENTION_DAYS,
            kms_key_id=props.key_arn,
            opts=self.child(protect=props.protect),
        )
        role = iam.Role(name, assume_role_policy=service_trust("eks.amazonaws.com"), opts=self.child())
        rights = iam.RolePolicyAttachment(
            name, role=role.name, policy_arn="arn:aws:iam::aws:policy/AmazonEKSClusterPolicy", opts=self.child()
        )
        key_use = iam.RolePolicy(
            name,
            role=role.name,
            policy=document(
                Statement("Secrets", ["kms:Encrypt", "kms:Decrypt", "kms:ListGrants", "kms:DescribeKey"], [props.key_arn])
            ),
            opts=self.child(),
        )
        cluster = eks.Cluster(
            name,
            name=props.cluster_name,
            version=props.version,
            role_arn=role.arn,
            vpc_config=eks.ClusterVpcConfigArgs(
                subnet_ids=list(props.subnet_ids),
                endpoint_private_access=True,
                endpoint_public_access=bool(props.api_allow),
                public_access_cidrs=list(props.api_allow) or None,
            ),
            kubernetes_network_config=eks.ClusterKubernetesNetworkConfigArgs(service_ipv4_cidr=props.services),
            access_config=eks.ClusterAccessConfigArgs(authentication_mode="API", bootstrap_cluster_creator_admin_permissions=False),
            bootstrap_self_managed_addons=False,
            encryption_config=eks.ClusterEncryptionConfigArgs(
                provider=eks.ClusterEncryptionConfigProviderArgs(key_arn=props.key_arn), resources=["secrets"]
            ),
            enabled_cluster_log_types=list(_LOGS),
            upgrade_policy=eks.ClusterUpgradePolicyArgs(support_type="STANDARD"),
            deletion_protection=props.protect,
            opts=self.child(protect=props.protect, depends_on=[logs, rights, key_use]),
        )
        for number, operator in enumerate(props.operators):
            label = f"{name}-operator-{number}"
            entry = eks.AccessEntry(label, cluster_name=cluster.name, principal_arn=operator, type="STANDARD", opts=self.child())
            eks.AccessPolicyAssociation(
                label,
                cluster_name=cluster.name,
                principal_arn=operator,
                policy_arn=_ADMIN_POLICY,
                access_scope=eks.AccessPolicyAssociationAccessScopeArgs(type="cluster"),
                opts=self.child(depends_on=[entry]),
            )
        self.cluster_name: pulumi.Output[str] = cluster.name
        self.arn: pulumi.Output[str] = cluster.arn
        self.endpoint: pulumi.Output[str] = cluster.endpoint
        self.ca: pulumi.Output[str] = cluster.certificate_authority.data
        self.security_group: pulumi.Output[str] = cluster.vpc_config.cluster_security_group_id
        self.register_outputs({"arn": self.arn, "endpoint": self.endpoint})
