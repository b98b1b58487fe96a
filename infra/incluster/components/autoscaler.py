"""The cluster autoscaler, where the cloud has none of its own: EKS."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import apps, core, meta, rbac

from infra.components.component import Component
from infra.incluster import naming
from infra.incluster.components import pods

NAME = "cluster-autoscaler"
"""Name and account, as the cloud stack's identity is bound to them."""
_RBAC = "rbac.authorization.k8s.io"
_READS = ("get", "list", "watch")


@dataclass(frozen=True)
class AutoscalerProps:
    """``cluster_name`` is the cloud's: its node groups are found by it."""

    cluster_name: str
    region: str
    image: str
    pull_secret: str | None
    node_labels: Mapping[str, str]


class Autoscaler(Component):
    """Adds nodes for pods that find no room, from zero, and takes empty ones away. It lives in kube-system, where AWS knows it."""

    def __init__(self, name: str, props: AutoscalerProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("autoscaler:InCluster", name, opts)
        account = core.v1.ServiceAccount(
            name, metadata=pods.metadata(NAME, NAME, naming.SYSTEM), automount_service_account_token=False, opts=self.child()
        )
        self._rights(name, account.metadata.name)
        container = pods.Container(
            name=NAME,
            image=props.image,
            need=pods.Need("100m", "600Mi"),
            command=("./cluster-autoscaler",),
            args=(
                "--cloud-provider=aws",
                f"--node-group-auto-discovery=asg:tag=k8s.io/cluster-autoscaler/enabled,k8s.io/cluster-autoscaler/{props.cluster_name}",
                "--expander=least-waste",
                "--balance-similar-node-groups",
                "--scale-down-unneeded-time=5m",
                "--max-node-provision-time=15m",
                "--skip-nodes-with-system-pods=false",
            ),
            env=[core.v1.EnvVarArgs(name="AWS_REGION", value=props.region)],
            ports={"http": 8085},
            volumes=[pods.empty_dir("tmp", pods.TMP, limit="64Mi")],
            liveness=pods.http_probe("/health-check", "http", every=15, failures=6),
        )
        labels = naming.selector(NAME)
        spec = pods.restricted_pod(
            [container],
            account=account.metadata.name,
            token=True,
            pull_secret=props.pull_secret,
            node_labels=props.node_labels,
            user=65534,
        )
        spec.priority_class_name = "system-cluster-critical"
        apps.v1.Deployment(
            name,
            metadata=pods.metadata(NAME, NAME, naming.SYSTEM),
            spec=apps.v1.DeploymentSpecArgs(
                replicas=1,
                strategy=apps.v1.DeploymentStrategyArgs(type="Recreate"),
                selector=meta.v1.LabelSelectorArgs(match_labels=labels),
                template=core.v1.PodTemplateSpecArgs(metadata=meta.v1.ObjectMetaArgs(labels=labels), spec=spec),
            ),
            opts=self.child(),
        )
        self.register_outputs({})

    def _rights(self, name: str, account: pulumi.Input[str]) -> None:
        subject = rbac.v1.SubjectArgs(kind="ServiceAccount", name=account, namespace=naming.SYSTEM)
        cluster_role = rbac.v1.ClusterRole(
            name,
            metadata=pods.metadata(f"lorafleet-{NAME}", NAME),
            rules=[
                _rule("", ("nodes",), (*_READS, "update", "patch")),
                _rule("", ("pods/eviction",), ("create",)),
                _rule("", ("pods/status",), ("update",)),
                _rule("", ("events",), ("create", "patch")),
                _rule(
                    "",
                    ("pods", "services", "replicationcontrollers", "persistentvolumeclaims", "persistentvolumes", "namespaces"),
                    _READS,
                ),
                _rule("apps", ("daemonsets", "replicasets", "statefulsets"), _READS),
                _rule("batch", ("jobs", "cronjobs"), _READS),
                _rule("policy", ("poddisruptionbudgets",), _READS),
                _rule(
                    "storage.k8s.io",
                    ("storageclasses", "csinodes", "csidrivers", "csistoragecapacities", "volumeattachments"),
                    _READS,
                ),
                _rule("resource.k8s.io", ("resourceclaims", "resourceslices", "deviceclasses"), _READS),
            ],
            opts=self.child(),
        )
        rbac.v1.ClusterRoleBinding(
            name,
            metadata=pods.metadata(f"lorafleet-{NAME}", NAME),
            role_ref=rbac.v1.RoleRefArgs(api_group=_RBAC, kind="ClusterRole", name=cluster_role.metadata.name),
            subjects=[subject],
            opts=self.child(),
        )
        role = rbac.v1.Role(
            name,
            metadata=pods.metadata(NAME, NAME, naming.SYSTEM),
            rules=[
                _rule("", ("configmaps",), ("create",)),
                rbac.v1.PolicyRuleArgs(
                    api_groups=[""],
                    resources=["configmaps"],
                    resource_names=["cluster-autoscaler-status"],
                    verbs=["get", "update", "delete", "watch"],
                ),
                _rule("coordination.k8s.io", ("leases",), ("create",)),
                rbac.v1.PolicyRuleArgs(
                    api_groups=["coordination.k8s.io"], resources=["leases"], resource_names=[NAME], verbs=["get", "update"]
                ),
            ],
            opts=self.child(),
        )
        rbac.v1.RoleBinding(
            name,
            metadata=pods.metadata(NAME, NAME, naming.SYSTEM),
            role_ref=rbac.v1.RoleRefArgs(api_group=_RBAC, kind="Role", name=role.metadata.name),
            subjects=[subject],
            opts=self.child(),
        )


def _rule(group: str, resources: tuple[str, ...], verbs: tuple[str, ...]) -> rbac.v1.PolicyRuleArgs:
    return rbac.v1.PolicyRuleArgs(api_groups=[group], resources=list(resources), verbs=list(verbs))
