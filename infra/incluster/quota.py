"""How much may run in each namespace, as a ResourceQuota counts it. Pure."""

from infra.incluster.config import Room
from infra.pools import GPU_RESOURCE


def for_workers(room: Room, gpus: int, claims: int) -> dict[str, str]:
    """As many GPUs as the pools grow to; no Service opens a port of a node or asks the cloud for an address."""
    return {
        "pods": str(room.pods),
        "requests.cpu": room.cpu,
        "requests.memory": room.memory,
        f"requests.{GPU_RESOURCE}": str(gpus),
        "persistentvolumeclaims": str(claims),
        "services.loadbalancers": "0",
        "services.nodeports": "0",
    }


def for_service(pods: int, cpu: str, memory: str) -> dict[str, str]:
    """For what serves the site itself: it needs no GPU."""
    return {
        "pods": str(pods),
        "requests.cpu": cpu,
        "requests.memory": memory,
        f"requests.{GPU_RESOURCE}": "0",
        "services.loadbalancers": "0",
        "services.nodeports": "0",
    }


def for_postgres(*, exposed: bool) -> dict[str, str]:
    """A server with its dump, each for a moment beside its successor, two volumes, and the other site's way in where it has one."""
    return {
        **for_service(4, "2", "8Gi"),
        "persistentvolumeclaims": "2",
        **({"services.loadbalancers": "1", "services.nodeports": "1"} if exposed else {}),
    }
