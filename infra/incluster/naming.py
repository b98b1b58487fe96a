"""Names and labels of what the in-cluster stack makes. Each namespace says in one word what it is for."""

MONITORING = "lorafleet-monitoring"
DEVICES = "lorafleet-devices"
BACKUP = "lorafleet-backup"
CONSOLE = "lorafleet-console"
POSTGRES = "lorafleet-postgres"
DEPLOYERS = "lorafleet-deployers"
KEDA = "keda"
SYSTEM = "kube-system"

OWN_NAMESPACES = (MONITORING, DEVICES, BACKUP, CONSOLE, POSTGRES, KEDA, DEPLOYERS)

PROMETHEUS = "prometheus"
PROMETHEUS_PORT = 9090
PROMETHEUS_URL = f"http://{PROMETHEUS}.{MONITORING}.svc:{PROMETHEUS_PORT}"
DCGM_PORT = 9400
CONSOLE_PORT = 8400
S3_PORT = 7070

PART_OF = "app.kubernetes.io/part-of"
COMPONENT = "app.kubernetes.io/component"
MANAGED_BY = "app.kubernetes.io/managed-by"
WORKER = "worker"
"""The component of the pods that train, as the pipelines label them."""


def labels(component: str) -> dict[str, str]:
    """What every object of a component carries."""
    return {PART_OF: "lorafleet", COMPONENT: component, MANAGED_BY: "pulumi"}


def selector(component: str) -> dict[str, str]:
    """By what the pods of a component are found. Never changed: a Deployment's selector cannot be."""
    return {PART_OF: "lorafleet", COMPONENT: component}
