"""EKS add-ons, in two sets: what nodes need to become ready, and what needs ready nodes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import eks, iam

from infra.components.component import Component
from infra.components.iam_policy import pod_trust


@dataclass(frozen=True)
class AwsAddonsProps:
    """The cluster that the add-ons are for, and what they wait for."""

    account: str
    cluster_name: pulumi.Input[str]
    cluster_arn: pulumi.Input[str]
    after: Sequence[pulumi.Resource] = ()


class AwsNodeAddons(Component):
    """What a node needs: its network with network policies, kube-proxy, and the agent of Pod Identity."""

    def __init__(self, name: str, props: AwsAddonsProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("addons:AwsNode", name, opts)
        settings = {"vpc-cni": {"enableNetworkPolicy": "true"}}
        self.addons: Sequence[pulumi.Resource] = [
            _addon(self, name, props, addon, settings=settings.get(addon))
            for addon in ("vpc-cni", "kube-proxy", "eks-pod-identity-agent")
        ]
        self.register_outputs({})


class AwsWorkloadAddons(Component):
    """What runs on the system pool: DNS, metrics and the drivers of EBS and EFS, the drivers with roles of their own."""

    def __init__(self, name: str, props: AwsAddonsProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("addons:AwsWorkload", name, opts)
        for addon in ("coredns", "metrics-server"):
            _addon(self, name, props, addon)
        for addon, account, policy in (
            ("aws-ebs-csi-driver", "ebs-csi-controller-sa", "AmazonEBSCSIDriverPolicy"),
            ("aws-efs-csi-driver", "efs-csi-controller-sa", "AmazonEFSCSIDriverPolicy"),
        ):
            label = f"{name}-{addon}"
            role = iam.Role(label, assume_role_policy=pod_trust(props.account, props.cluster_arn), opts=self.child())
            rights = iam.RolePolicyAttachment(
                label, role=role.name, policy_arn=f"arn:aws:iam::aws:policy/service-role/{policy}", opts=self.child()
            )
            identity = eks.AddonPodIdentityAssociationArgs(role_arn=role.arn, service_account=account)
            _addon(self, name, props, addon, identity=identity, depends_on=[rights])
        self.register_outputs({})


def _addon(
    component: Component,
    name: str,
    props: AwsAddonsProps,
    addon: str,
    *,
    settings: dict[str, str] | None = None,
    identity: eks.AddonPodIdentityAssociationArgs | None = None,
    depends_on: Sequence[pulumi.Resource] = (),
) -> pulumi.Resource:
    made: pulumi.Resource = eks.Addon(
        f"{name}-{addon}",
        cluster_name=props.cluster_name,
        addon_name=addon,
        configuration_values=json.dumps(settings, sort_keys=True) if settings else None,
        pod_identity_associations=[identity] if identity else None,
        resolve_conflicts_on_create="OVERWRITE",
        resolve_conflicts_on_update="PRESERVE",
        opts=component.child(depends_on=[*props.after, *depends_on]),
    )
    return made
