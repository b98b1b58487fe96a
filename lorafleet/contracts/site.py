"""``sites/<site>.json``: the facts of one site, exported from the stack that built it. Never a kubeconfig, token or secret."""

from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from lorafleet.contracts.credentials import find_credential
from lorafleet.contracts.gpus import GPUS
from lorafleet.contracts.identifiers import Id
from lorafleet.contracts.image import parse_image

_STORES = ("s3", "gs", "az", "file")


class Cloud(StrEnum):
    """Who runs a site; ``local`` is a cluster of one's own."""

    AWS = "aws"
    GCP = "gcp"
    AZURE = "azure"
    LOCAL = "local"


def _url(url: str, schemes: tuple[str, ...]) -> str:
    parts = urlsplit(url)
    if parts.scheme not in schemes:
        raise ValueError(f"the address begins with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    if parts.username is not None or parts.query or parts.fragment or not (parts.netloc or (parts.scheme == "file" and parts.path)):
        raise ValueError("the address holds a host or bucket and a path only")
    return url.rstrip("/")


def _registry(prefix: str) -> str:
    if not parse_image(f"{prefix}/trainer").registry:
        raise ValueError("a registry is a host name, with a path where it has one")
    return prefix


def _gpu_type(name: str) -> str:
    known = [gpu.name for gpu in GPUS]
    if name not in known:
        raise ValueError(f"'{name}' is no GPU of the table; it has {', '.join(known)}")
    return name


def _web_url(url: str) -> str:
    return _url(url, ("https", "http"))


def _https_url(url: str) -> str:
    return _url(url, ("https",))


def _store_url(url: str) -> str:
    return _url(url, _STORES)


Text = Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class _Part(BaseModel):
    # Were a credential given by mistake, no error may show it.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Cluster(_Part):
    """A Kubernetes cluster. ``identifier`` is the cloud's own (ARN, self link, resource id) and never changes.

    ``ca`` is the certificate authority in base64, which is public. ``kubeconfig_command`` is the argument vector of the cloud's
    command that gives whoever is allowed a kubeconfig of their own.
    """

    name: Text
    endpoint: Annotated[str, AfterValidator(_https_url)]
    ca: str = Field(min_length=1, max_length=65_536)
    identifier: Text
    kubeconfig_command: tuple[Text, ...] = Field(min_length=1)


class SharedVolume(_Part):
    """The shared file system, as a pod mounts it: base models and caches, never the only copy of anything."""

    claim: Id = Field(description="The PersistentVolumeClaim in the site's namespace.")
    driver: Text = Field(description="The CSI driver.")
    handle: Text = Field(description="The driver's name of the volume.")


class GpuPool(_Part):
    """Nodes with one type of GPU; ``max`` is the most GPUs that it grows to."""

    type: Annotated[str, AfterValidator(_gpu_type)] = Field(description="A name of the GPU table.")
    driver: str = Field(pattern=r"^\d+(\.\d+)*$", description="Version of the NVIDIA driver.")
    max: int = Field(ge=0, strict=True)


class TrainerIdentity(_Part):
    """Who a trainer's pod is: its service account, and what the cloud's workload identity wants on account and pod."""

    service_account: Id
    annotations: dict[str, str] = Field(default_factory=dict)
    pod_labels: dict[str, str] = Field(default_factory=dict)


class Identities(_Part):
    """Who acts in the site. ``spinnaker`` is the user, group or service account that the cluster's role is bound to."""

    trainer: TrainerIdentity
    spinnaker: Text


class Site(_Part):
    """One site."""

    name: Id
    cloud: Cloud
    region: Text
    cluster: Cluster
    namespace: Id
    registry: Annotated[str, AfterValidator(_registry)] = Field(description="Where the site pulls images from: host and path.")
    object_store: Annotated[str, AfterValidator(_store_url)]
    shared_volume: SharedVolume | None = None
    gpu_pools: tuple[GpuPool, ...]
    identities: Identities
    prometheus: Annotated[str, AfterValidator(_web_url)] | None = None
    spinnaker_account: Id

    @model_validator(mode="before")
    @classmethod
    def _no_credential(cls, values: Any) -> Any:
        found = find_credential(values)
        if found is not None:
            place, what = found
            raise ValueError(f"{place} is {what}; a site's file is committed and never holds credentials")
        return values
