"""What a cloud stack hands to the in-cluster stack, and how both become the site's :class:`~lorafleet.contracts.site.Site`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from infra.config import AwsConfig, AzureConfig, Capacity, GcpConfig, SiteConfig
from infra.pools import GPU_RESOURCE, SYSTEM_LABELS, TAINT_VALUE, Pool
from lorafleet.contracts.credentials import find_credential
from lorafleet.contracts.site import Cloud, Cluster, GpuPool, Identities, SharedVolume, Site, TrainerIdentity

EXPORT = "cloud"
"""The name of the stack's one output."""

TRAINER = "trainer"
"""The service account of the trainer's pods."""

DEPLOYERS = "lorafleet:deployers"
"""The Kubernetes group of Spinnaker's role on EKS; the in-cluster stack binds a namespaced Role to it."""

_ENTRA_SERVER = "6dae42f8-4368-4678-94ff-3960e28e3630"  # AKS's Entra application, the same in every tenant.


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Volume(_Part):
    """The shared file system as a static PersistentVolume names it."""

    driver: str
    handle: str
    attributes: dict[str, str] = Field(default_factory=dict)
    capacity_gib: int


class Taint(_Part):
    """A taint as a Kubernetes node bears it."""

    key: str
    value: str
    effect: Literal["NoSchedule"]


class NodePool(_Part):
    """A GPU pool. ``max_nodes`` counts nodes, ``gpus`` the GPUs of one; ``taints`` are all that its nodes bear."""

    name: str
    gpu: str
    gpus: int
    driver: str
    capacity: Capacity
    max_nodes: int
    labels: dict[str, str]
    taints: tuple[Taint, ...]


class Subject(_Part):
    """Whom the cluster knows Spinnaker's identity as: the subject of its RoleBinding."""

    kind: Literal["User", "Group"]
    name: str


class CloudOutputs(_Part):
    """Everything that a cloud stack exports. Never a kubeconfig, token or secret.

    ``login_command`` is the argument vector of the exec plugin that gives ``kubectl`` a short-lived credential.
    ``device_plugin``, ``dcgm_exporter`` and ``autoscaler`` say what the cloud lacks and the in-cluster stack installs.
    """

    name: str
    cloud: Cloud
    region: str
    namespace: str
    cluster: Cluster
    login_command: tuple[str, ...]
    registry: str
    object_store: str
    shared_volume: Volume
    gpu_pools: tuple[NodePool, ...]
    system_labels: dict[str, str]
    trainer: TrainerIdentity
    trainer_identity: str = Field(description="The cloud's own name of the trainer's identity.")
    spinnaker_subject: Subject
    spinnaker_identity: str = Field(description="The cloud's own name of Spinnaker's identity.")
    device_plugin: bool
    dcgm_exporter: bool
    autoscaler: bool

    @model_validator(mode="before")
    @classmethod
    def _no_credential(cls, values: Any) -> Any:
        found = find_credential(values)
        if found is not None:
            raise ValueError(f"{found[0]} is {found[1]}; a stack's outputs are read by everybody")
        return values

    def site(self, *, claim: str, prometheus: str | None, spinnaker_account: str) -> Site:
        """The site's contract, with what the in-cluster stack adds. ``max`` of a GPU and driver is the sum over its pools."""
        most: dict[tuple[str, str], int] = {}
        for pool in self.gpu_pools:
            key = (pool.gpu, pool.driver)
            most[key] = most.get(key, 0) + pool.max_nodes * pool.gpus
        return Site(
            name=self.name,
            cloud=self.cloud,
            region=self.region,
            cluster=self.cluster,
            namespace=self.namespace,
            registry=self.registry,
            object_store=self.object_store,
            shared_volume=SharedVolume(claim=claim, driver=self.shared_volume.driver, handle=self.shared_volume.handle),
            gpu_pools=tuple(GpuPool(type=gpu, driver=driver, max=count) for (gpu, driver), count in most.items()),
            identities=Identities(trainer=self.trainer, spinnaker=self.spinnaker_subject.name),
            prometheus=prometheus,
            spinnaker_account=spinnaker_account,
        )


T = TypeVar("T")


@dataclass(frozen=True)
class Facts(Generic[T]):
    """What only the cloud knows: outputs while a program runs, plain text once they are there.

    ``volume_server`` is only there where the file system's driver wants an address.
    """

    cluster_name: T
    endpoint: T
    ca: T
    cluster_identifier: T
    registry: T
    object_store: T
    volume_handle: T
    trainer: T
    spinnaker_identity: T
    spinnaker_subject: T
    volume_server: T | None = None


def outputs(site: str, config: SiteConfig, pools: Sequence[Pool], facts: Facts[str]) -> CloudOutputs:
    """Put a stack's outputs together."""
    per_cloud = _per_cloud(config, facts)
    return CloudOutputs(
        name=site,
        cloud=Cloud(config.cloud),
        region=config.region,
        namespace=config.namespace,
        cluster=Cluster(
            name=facts.cluster_name,
            endpoint=facts.endpoint,
            ca=facts.ca,
            identifier=facts.cluster_identifier,
            kubeconfig_command=per_cloud.kubeconfig_command,
        ),
        login_command=per_cloud.login_command,
        registry=facts.registry,
        object_store=facts.object_store,
        shared_volume=Volume(
            driver=per_cloud.driver, handle=facts.volume_handle, attributes=per_cloud.attributes, capacity_gib=config.shared_gib
        ),
        gpu_pools=tuple(_node_pool(config, pool) for pool in pools),
        system_labels=dict(SYSTEM_LABELS),
        trainer=TrainerIdentity(
            service_account=TRAINER, annotations=per_cloud.trainer_annotations, pod_labels=per_cloud.trainer_labels
        ),
        trainer_identity=facts.trainer,
        spinnaker_subject=Subject(kind=per_cloud.subject_kind, name=facts.spinnaker_subject),
        spinnaker_identity=facts.spinnaker_identity,
        device_plugin=config.cloud != "gcp",
        dcgm_exporter=config.cloud != "gcp",
        autoscaler=config.cloud == "aws",
    )


def _node_pool(config: SiteConfig, pool: Pool) -> NodePool:
    taints = [Taint(key=GPU_RESOURCE, value=TAINT_VALUE, effect="NoSchedule")]
    labels = pool.labels
    if config.cloud == "azure" and pool.capacity == "spot":
        taints.append(Taint(key=AKS_SPOT[0], value=AKS_SPOT[1], effect="NoSchedule"))
        labels = {**labels, AKS_SPOT[0]: AKS_SPOT[1]}
    return NodePool(
        name=pool.name,
        gpu=pool.gpu,
        gpus=pool.gpus,
        driver=pool.driver,
        capacity=pool.capacity,
        max_nodes=pool.max,
        labels=labels,
        taints=tuple(taints),
    )


AKS_SPOT = ("kubernetes.azure.com/scalesetpriority", "spot")
"""AKS puts this label and taint on spot nodes itself; a pool that does not declare them is changed on every run."""


@dataclass(frozen=True)
class _PerCloud:
    kubeconfig_command: tuple[str, ...]
    login_command: tuple[str, ...]
    driver: str
    attributes: dict[str, str]
    trainer_annotations: dict[str, str]
    trainer_labels: dict[str, str]
    subject_kind: Literal["User", "Group"]


def _per_cloud(config: SiteConfig, facts: Facts[str]) -> _PerCloud:
    match config:
        case AwsConfig():
            return _aws(config, facts)
        case GcpConfig():
            return _gcp(config, facts)
        case AzureConfig():
            return _azure(config, facts)


def _aws(config: AwsConfig, facts: Facts[str]) -> _PerCloud:
    return _PerCloud(
        kubeconfig_command=("aws", "eks", "update-kubeconfig", "--region", config.region, "--name", facts.cluster_name),
        login_command=(
            "aws",
            "eks",
            "get-token",
            "--region",
            config.region,
            "--cluster-name",
            facts.cluster_name,
            "--output",
            "json",
        ),
        driver="efs.csi.aws.com",
        attributes={"encryptInTransit": "true"},
        trainer_annotations={},  # EKS Pod Identity binds the service account by its name.
        trainer_labels={},
        subject_kind="Group",
    )


def _gcp(config: GcpConfig, facts: Facts[str]) -> _PerCloud:
    where = ("--region", config.region, "--project", config.project)
    return _PerCloud(
        kubeconfig_command=("gcloud", "container", "clusters", "get-credentials", facts.cluster_name, *where),
        login_command=("gke-gcloud-auth-plugin",),
        driver="filestore.csi.storage.gke.io",
        attributes={"ip": facts.volume_server or "", "volume": "shared"},
        trainer_annotations={"iam.gke.io/gcp-service-account": facts.trainer},
        trainer_labels={},
        subject_kind="User",
    )


def _azure(config: AzureConfig, facts: Facts[str]) -> _PerCloud:
    group, account, share = facts.volume_handle.split("#")
    return _PerCloud(
        kubeconfig_command=("az", "aks", "get-credentials", "--resource-group", group, "--name", facts.cluster_name),
        login_command=("kubelogin", "get-token", "--login", "azurecli", "--server-id", _ENTRA_SERVER),
        driver="file.csi.azure.com",
        attributes={"resourceGroup": group, "storageAccount": account, "shareName": share, "protocol": "nfs"},
        trainer_annotations={"azure.workload.identity/client-id": facts.trainer},
        trainer_labels={"azure.workload.identity/use": "true"},
        subject_kind="User",
    )
