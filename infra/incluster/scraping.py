"""Prometheus's configuration: whom it asks, and whom it alerts. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from infra.incluster.naming import KEDA

RULES_FILE = "rules.yml"
CONFIG_FILE = "prometheus.yml"
_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


@dataclass(frozen=True)
class Targets:
    """``console`` is an address; of several consoles each tells the same, so that only one may be asked."""

    site: str
    console: str | None
    alertmanager: str | None
    keda: bool


def configuration(targets: Targets) -> dict[str, Any]:
    """The whole of ``prometheus.yml``. Ten seconds, since KEDA and people look at minutes."""
    found: dict[str, Any] = {
        "global": {
            "scrape_interval": "10s",
            "evaluation_interval": "10s",
            "external_labels": {"lorafleet_site": targets.site},
        },
        "rule_files": [RULES_FILE],
        "scrape_configs": list(_jobs(targets)),
    }
    if targets.alertmanager is not None:
        found["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [targets.alertmanager]}]}]}
    return found


def _jobs(targets: Targets) -> Iterator[dict[str, Any]]:
    yield {"job_name": "prometheus", "static_configs": [{"targets": ["localhost:9090"]}]}
    if targets.console is not None:
        parts = urlsplit(targets.console)
        yield {
            "job_name": "console",
            "scheme": parts.scheme,
            "metrics_path": f"{parts.path.rstrip('/')}/metrics",
            # Its own labels say which site a number is of.
            "honor_labels": True,
            "static_configs": [{"targets": [parts.netloc]}],
        }
    yield {
        "job_name": "dcgm",
        # Labels of the pod that uses the GPU, not of the exporter.
        "honor_labels": True,
        "kubernetes_sd_configs": [{"role": "pod"}],
        "relabel_configs": [
            _keep("__meta_kubernetes_pod_label_app_kubernetes_io_name", ".*dcgm-exporter"),
            _keep("__meta_kubernetes_pod_container_port_name", "metrics"),
            _copy("__meta_kubernetes_pod_node_name", "node"),
        ],
    }
    if targets.keda:
        yield {
            "job_name": "keda",
            "kubernetes_sd_configs": [{"role": "pod", "namespaces": {"names": [KEDA]}}],
            "relabel_configs": [
                _keep("__meta_kubernetes_pod_label_app_kubernetes_io_name", "keda-operator"),
                {"source_labels": ["__meta_kubernetes_pod_ip"], "target_label": "__address__", "replacement": "${1}:8080"},
            ],
        }
    yield {
        "job_name": "nodes",
        "scheme": "https",
        "metrics_path": "/metrics/resource",
        # A kubelet's certificate is its own in most clusters; the token gives nobody more than numbers.
        "tls_config": {"insecure_skip_verify": True},
        "authorization": {"credentials_file": f"{_ACCOUNT}/token"},
        "kubernetes_sd_configs": [{"role": "node"}],
        "relabel_configs": [_copy("__meta_kubernetes_node_name", "node")],
    }


def _keep(label: str, pattern: str) -> dict[str, Any]:
    return {"source_labels": [label], "regex": pattern, "action": "keep"}


def _copy(label: str, target: str) -> dict[str, Any]:
    return {"source_labels": [label], "target_label": target}
