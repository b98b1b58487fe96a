"""KEDA, which sets the number of workers: its own chart, since its definitions and webhook certificates change with each version."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes.helm import v3 as helm

from infra.incluster import naming
from infra.incluster.components import traffic
from infra.incluster.components.inside import Inside
from infra.incluster.components.namespaces import Namespace
from infra.incluster.config import Keda

COMPONENT = naming.KEDA
_OPERATOR_GRPC, _METRICS_API, _WEBHOOK, _METRICS = 9666, 6443, 9443, 8080


@dataclass(frozen=True)
class KedaProps:
    """``watched`` is the one namespace whose ScaledObjects it obeys; what they scale by it asks ``prometheus``."""

    home: Namespace
    settings: Keda
    watched: str
    prometheus: str
    registry: str | None
    pull_secret: str | None
    node_labels: Mapping[str, str]
    dns_ranges: tuple[str, ...]
    api_ports: tuple[int, ...]


class KedaChart(Inside):
    """The release of the chart, and what may pass to and from its pods."""

    def __init__(self, name: str, props: KedaProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("keda", name, props.home, opts)
        chart = props.settings.chart
        is_repository = chart.startswith(("https://", "http://"))
        self.release = helm.Release(
            name,
            name=COMPONENT,
            namespace=props.home.name,
            chart=COMPONENT if is_repository else chart,
            repository_opts=helm.RepositoryOptsArgs(repo=chart) if is_repository else None,
            version=props.settings.version,
            values=values(props),
            # A half-made release is taken back, so that the next `pulumi up` starts from a whole one.
            atomic=True,
            timeout=600,
            max_history=5,
            opts=self.child(),
        )
        own = traffic.in_namespace(props.home.name)
        prometheus = traffic.in_namespace(naming.MONITORING)
        traffic.policy(
            name,
            COMPONENT,
            COMPONENT,
            props.home.name,
            self.child(),
            ingress=[
                traffic.from_([own], _OPERATOR_GRPC),
                traffic.from_([prometheus], _METRICS),
                traffic.from_anywhere(_METRICS_API, _WEBHOOK),
            ],
            egress=[
                traffic.resolving(props.dns_ranges),
                traffic.to([own], _OPERATOR_GRPC),
                traffic.to_prometheus(props.prometheus),
                traffic.to_ports(*sorted({443, *props.api_ports})),
            ],
        )
        self.register_outputs({})


def values(props: KedaProps) -> dict[str, Any]:
    """The chart's values. It reads no Secrets outside its own namespace, and watches the workers' alone."""
    found: dict[str, Any] = {
        "watchNamespace": props.watched,
        "permissions": {"operator": {"restrict": {"secret": True}}},
        "operator": {"replicaCount": 2},
        "metricsServer": {"replicaCount": 2},
        "prometheus": {"operator": {"enabled": True}},
        "nodeSelector": {"kubernetes.io/os": "linux", **props.node_labels},
    }
    if props.registry is not None:
        host, _, path = props.registry.partition("/")
        found["image"] = {
            part: {"registry": host, "repository": f"{path}/{image}".lstrip("/")}
            for part, image in (
                ("keda", "keda"),
                ("metricsApiServer", "keda-metrics-apiserver"),
                ("webhooks", "keda-admission-webhooks"),
            )
        }
    if props.pull_secret is not None:
        found["imagePullSecrets"] = [{"name": props.pull_secret}]
    return found
