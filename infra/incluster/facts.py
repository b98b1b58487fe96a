"""What the in-cluster stack knows of its site: told by the cloud stack, or by the configuration of a cluster of one's own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from infra.contract import TRAINER, CloudOutputs, Taint
from infra.incluster.config import Local, LocalVolume
from infra.incluster.naming import DEPLOYERS
from infra.pools import GPU_RESOURCE, TAINT_VALUE
from lorafleet.contracts.site import Cloud, Cluster, GpuPool, Identities, SharedVolume, Site, TrainerIdentity

CLAIM = "shared"
"""The PersistentVolumeClaim of the shared files in the workers' namespace."""

SPINNAKER = "spinnaker"
"""Spinnaker's account in a cluster of one's own, where no cloud knows it."""


@dataclass(frozen=True)
class CsiVolume:
    """A file system that is there already, as its CSI driver names it."""

    driver: str
    handle: str
    attributes: Mapping[str, str]
    gib: int


SharedFiles = CsiVolume | LocalVolume


@dataclass(frozen=True)
class Deployer:
    """Whom the cluster knows Spinnaker as; ``namespace`` is a service account's."""

    kind: Literal["User", "Group", "ServiceAccount"]
    name: str
    namespace: str = ""


@dataclass(frozen=True)
class Facts:
    """A site's contract and what its cluster lacks. ``gpu_nodes`` are the labels by which each pool's nodes are known."""

    site: Site
    shared: SharedFiles | None
    deployer: Deployer
    gpu_nodes: tuple[Mapping[str, str], ...]
    taints: tuple[Taint, ...]
    system_nodes: Mapping[str, str]
    device_plugin: bool
    dcgm_exporter: bool
    autoscaler: bool

    @property
    def gpus(self) -> int:
        """The most GPUs that the site grows to."""
        return sum(pool.max for pool in self.site.gpu_pools)


def from_cloud(outputs: CloudOutputs, prometheus: str) -> Facts:
    """A site whose cluster another stack has made."""
    volume = outputs.shared_volume
    return Facts(
        site=outputs.site(claim=CLAIM, prometheus=prometheus, spinnaker_account=outputs.name),
        shared=CsiVolume(volume.driver, volume.handle, volume.attributes, volume.capacity_gib),
        deployer=Deployer(outputs.spinnaker_subject.kind, outputs.spinnaker_subject.name),
        gpu_nodes=tuple({"lorafleet/pool": pool.name} for pool in outputs.gpu_pools),
        taints=tuple(dict.fromkeys(taint for pool in outputs.gpu_pools for taint in pool.taints)),
        system_nodes=outputs.system_labels,
        device_plugin=outputs.device_plugin,
        dcgm_exporter=outputs.dcgm_exporter,
        autoscaler=outputs.autoscaler,
    )


def from_local(name: str, local: Local, cluster: Cluster, prometheus: str) -> Facts:
    """A site in a cluster of one's own; ``cluster`` is what the kubeconfig says of it."""
    most: dict[tuple[str, str], int] = {}
    for pool in local.gpu_pools:
        most[pool.gpu, pool.driver] = most.get((pool.gpu, pool.driver), 0) + pool.gpus
    return Facts(
        site=Site(
            name=name,
            cloud=Cloud.LOCAL,
            region=local.region,
            cluster=cluster,
            namespace=local.namespace,
            registry=local.registry,
            object_store=local.object_store,
            shared_volume=None if local.shared is None else _shared(local.shared),
            gpu_pools=tuple(GpuPool(type=gpu, driver=driver, max=count) for (gpu, driver), count in most.items()),
            identities=Identities(
                trainer=TrainerIdentity(service_account=TRAINER), spinnaker=f"system:serviceaccount:{DEPLOYERS}:{SPINNAKER}"
            ),
            prometheus=prometheus,
            spinnaker_account=name,
        ),
        shared=local.shared,
        deployer=Deployer("ServiceAccount", SPINNAKER, DEPLOYERS),
        gpu_nodes=tuple(pool.node_labels for pool in local.gpu_pools),
        taints=(Taint(key=GPU_RESOURCE, value=TAINT_VALUE, effect="NoSchedule"),),
        system_nodes={},
        device_plugin=local.device_plugin and bool(local.gpu_pools),
        dcgm_exporter=local.dcgm_exporter and bool(local.gpu_pools),
        autoscaler=False,
    )


def _shared(volume: LocalVolume) -> SharedVolume:
    if volume.nfs is not None:
        return SharedVolume(claim=CLAIM, driver="nfs", handle=f"{volume.nfs.server}:{volume.nfs.path}")
    if volume.host_path is not None:
        return SharedVolume(claim=CLAIM, driver="hostPath", handle=volume.host_path)
    assert volume.storage_class is not None, "the validators ask for one of the three"
    return SharedVolume(claim=CLAIM, driver="storageClass", handle=volume.storage_class)
