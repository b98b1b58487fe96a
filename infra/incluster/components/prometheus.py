"""The site's Prometheus: what the release conditions are made of, what KEDA scales by, and GPUs and nodes."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes import apps, core, meta, rbac

from infra.incluster import naming
from infra.incluster.components import pods, traffic
from infra.incluster.components.inside import Inside
from infra.incluster.components.namespaces import Namespace
from infra.incluster.config import Prometheus
from infra.incluster.scraping import CONFIG_FILE, RULES_FILE

COMPONENT = naming.PROMETHEUS
_CLUSTER_ROLE = "lorafleet-prometheus"
_USER = 65534
_DATA = "/prometheus"
_ETC = "/etc/prometheus"
_KUBELET = 10250
_KEDA_METRICS = 8080


@dataclass(frozen=True)
class PrometheusProps:
    """``configuration`` and ``rules`` are its files; ``readers`` are the namespaces whose pods ask it.

    ``others`` are the ports of who is asked and alerted outside of the stack.
    """

    home: Namespace
    settings: Prometheus
    storage_class: pulumi.Input[str] | None
    image: str
    pull_secret: str | None
    node_labels: Mapping[str, str]
    configuration: Mapping[str, Any]
    rules: Mapping[str, Any]
    readers: tuple[str, ...]
    others: tuple[int, ...]
    dns_ranges: tuple[str, ...]
    api_ports: tuple[int, ...]
    protect: bool


class SitePrometheus(Inside):
    """One server on one volume. Losing it loses history, and no state of the fleet."""

    def __init__(self, name: str, props: PrometheusProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("prometheus", name, props.home, opts)
        self._name, self._props = name, props
        account = self._account()
        files = {
            # JSON is YAML, and has one form only.
            CONFIG_FILE: json.dumps(props.configuration, indent=1, sort_keys=True),
            RULES_FILE: json.dumps(props.rules, indent=1, sort_keys=True),
        }
        config = core.v1.ConfigMap(
            name, metadata=pods.metadata(naming.PROMETHEUS, COMPONENT, props.home.name), data=files, opts=self.child()
        )
        volume = core.v1.PersistentVolumeClaim(
            name,
            metadata=pods.metadata(naming.PROMETHEUS, COMPONENT, props.home.name, pods.DO_NOT_WAIT),
            spec=core.v1.PersistentVolumeClaimSpecArgs(
                access_modes=["ReadWriteOnce"],
                storage_class_name=props.storage_class,
                resources=core.v1.VolumeResourceRequirementsArgs(requests={"storage": f"{props.settings.gib}Gi"}),
            ),
            opts=self.child(protect=props.protect),
        )
        mounts = (
            pods.config_map("config", config.metadata.name, _ETC),
            pods.claim("data", volume.metadata.name, _DATA),
        )
        self._server(account, mounts, hashlib.sha256("".join(files.values()).encode()).hexdigest())
        core.v1.Service(
            name,
            metadata=pods.metadata(naming.PROMETHEUS, COMPONENT, props.home.name),
            spec=core.v1.ServiceSpecArgs(
                selector=naming.selector(COMPONENT),
                ports=[core.v1.ServicePortArgs(name="http", port=naming.PROMETHEUS_PORT, target_port="http")],
            ),
            opts=self.child(),
        )
        self._traffic()
        self.register_outputs({})

    def _account(self) -> pulumi.Output[str]:
        account = core.v1.ServiceAccount(
            self._name,
            metadata=pods.metadata(naming.PROMETHEUS, COMPONENT, self._props.home.name),
            automount_service_account_token=False,
            opts=self.child(),
        )
        role = rbac.v1.ClusterRole(
            self._name,
            metadata=pods.metadata(_CLUSTER_ROLE, COMPONENT),
            rules=[
                rbac.v1.PolicyRuleArgs(api_groups=[""], resources=["nodes", "pods"], verbs=["get", "list", "watch"]),
                rbac.v1.PolicyRuleArgs(api_groups=[""], resources=["nodes/metrics"], verbs=["get"]),
            ],
            opts=self.child(),
        )
        rbac.v1.ClusterRoleBinding(
            self._name,
            metadata=pods.metadata(_CLUSTER_ROLE, COMPONENT),
            role_ref=rbac.v1.RoleRefArgs(api_group="rbac.authorization.k8s.io", kind="ClusterRole", name=role.metadata.name),
            subjects=[rbac.v1.SubjectArgs(kind="ServiceAccount", name=account.metadata.name, namespace=self._props.home.name)],
            opts=self.child(),
        )
        name: pulumi.Output[str] = account.metadata.name
        return name

    def _server(self, account: pulumi.Output[str], mounts: tuple[pods.Volume, ...], digest: str) -> None:
        props = self._props
        container = pods.Container(
            name=COMPONENT,
            image=props.image,
            need=pods.Need("250m", "2Gi"),
            args=(
                f"--config.file={_ETC}/{CONFIG_FILE}",
                f"--storage.tsdb.path={_DATA}",
                f"--storage.tsdb.retention.time={props.settings.retention_days}d",
                # Prometheus would fill its volume and stop.
                f"--storage.tsdb.retention.size={props.settings.gib * 9 // 10 or 1}GB",
            ),
            ports={"http": naming.PROMETHEUS_PORT},
            volumes=mounts,
            readiness=pods.http_probe("/-/ready", "http", every=5, failures=3),
            liveness=pods.http_probe("/-/healthy", "http", every=15, failures=4),
        )
        labels = naming.selector(COMPONENT)
        apps.v1.Deployment(
            self._name,
            metadata=pods.metadata(naming.PROMETHEUS, COMPONENT, props.home.name),
            spec=apps.v1.DeploymentSpecArgs(
                replicas=1,
                # Two servers never share the volume.
                strategy=apps.v1.DeploymentStrategyArgs(type="Recreate"),
                selector=meta.v1.LabelSelectorArgs(match_labels=labels),
                template=core.v1.PodTemplateSpecArgs(
                    # A changed file makes a new pod: nothing reloads it otherwise.
                    metadata=meta.v1.ObjectMetaArgs(labels=labels, annotations={"lorafleet/configuration": digest}),
                    spec=pods.restricted_pod(
                        [container],
                        account=account,
                        token=True,
                        pull_secret=props.pull_secret,
                        node_labels=props.node_labels,
                        user=_USER,
                    ),
                ),
            ),
            opts=self.child(),
        )

    def _traffic(self) -> None:
        props, labels = self._props, naming.selector(COMPONENT)
        readers = [traffic.in_namespace(each) for each in props.readers]
        ports = {443, _KUBELET, naming.DCGM_PORT, naming.CONSOLE_PORT, _KEDA_METRICS, *props.others, *props.api_ports}
        traffic.policy(
            self._name,
            naming.PROMETHEUS,
            COMPONENT,
            props.home.name,
            self.child(),
            pods=labels,
            ingress=[traffic.from_(readers, naming.PROMETHEUS_PORT)],
            egress=[traffic.resolving(props.dns_ranges), traffic.to_ports(*sorted(ports))],
        )
