"""The typed configuration of a site's cloud stack, from the key ``lorafleet:site`` of ``Pulumi.<stack>.yaml``."""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from lorafleet.contracts.document import Document, validate
from lorafleet.contracts.identifiers import Id
from lorafleet.contracts.problems import ConfigError

Capacity = Literal["on-demand", "spot", "reserved", "capacity-block", "flex-start"]
CapacityName = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Email = Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", max_length=200)]
Uuid = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
IamArn = Annotated[str, StringConstraints(pattern=r"^arn:aws:iam::\d{12}:(role|user)/[\w+=,.@/-]+$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Network(_Part):
    """The address range of the site's network, and how its nodes reach the world."""

    cidr: str = Field(description="A private IPv4 range, /16 to /18, of which every part below is cut.")
    nat_per_zone: bool = Field(
        default=False, description="One NAT gateway a zone: a lost zone takes no other along, at three times the price."
    )


class Api(_Part):
    """Who reaches the cluster's API: nobody from outside where ``allow`` is empty."""

    allow: tuple[str, ...] = Field(default=(), description="IPv4 ranges outside the network.")


class SystemPool(_Part):
    """Nodes for what the cluster itself runs: DNS, CSI drivers, Prometheus, KEDA."""

    machine: str
    min: int = Field(default=2, ge=1, le=100, strict=True)
    max: int = Field(default=4, ge=1, le=100, strict=True)


class GpuPool(_Part):
    """GPU nodes of one machine type, from zero to ``max``.

    ``gpu``, ``gpus`` and ``zones`` stand in the catalogue; a stack file gives them for a machine type that is not there, and
    ``zones`` to narrow the choice. ``driver`` is the version that the cloud's node image brings: a release's preflight compares it.
    """

    name: Id
    machine: str
    capacity: Capacity = "on-demand"
    max: int = Field(ge=1, le=1000, strict=True, description="Nodes, not GPUs.")
    driver: str = Field(pattern=r"^\d+(\.\d+)*$")
    zones: tuple[str, ...] = ()
    gpu: str | None = None
    gpus: int | None = Field(default=None, ge=1, le=16, strict=True)
    reservation: CapacityName | None = Field(
        default=None, description="The cloud's id (AWS, Azure) or name (GCP) of the reservation that the nodes use."
    )
    disk_gib: int = Field(default=200, ge=50, le=4000, strict=True)


class Budget(_Part):
    """The monthly sum at which the cloud writes to ``emails``: at 80 % of it, and when the forecast passes it."""

    monthly_usd: int = Field(ge=1, strict=True)
    emails: tuple[Email, ...] = Field(min_length=1)


class _SiteConfig(_Part):
    region: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$", max_length=40)]
    zones: tuple[str, ...] = Field(default=(), description="Only for a region that the catalogue lacks.")
    organization: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,18}[a-z0-9]$")] = Field(
        description="Begins the names that are unique in the world, such as the bucket's."
    )
    namespace: Id = "lora"
    kubernetes: str = Field(default="1.34", pattern=r"^1\.\d{2}$")
    network: Network
    api: Api = Api()
    system: SystemPool
    pools: tuple[GpuPool, ...] = Field(min_length=1)
    images: tuple[Id, ...] = Field(
        default=("trainer", "console"), min_length=1, description="Only AWS wants them named: it makes no repository by a push."
    )
    shared_gib: int = Field(
        default=1024, ge=100, strict=True, description="Size of the shared file system where the cloud wants one."
    )
    budget: Budget
    protect: bool = Field(default=True, description="False, and one `pulumi up`, before a site is torn down.")


class AwsSpinnaker(_Part):
    """Whom AWS lets take Spinnaker's role in this site."""

    principal: IamArn


class AwsConfig(_SiteConfig):
    """A site on EKS. ``operators`` are the IAM roles or users that administer the cluster."""

    cloud: Literal["aws"]
    account: Annotated[str, StringConstraints(pattern=r"^\d{12}$")]
    operators: tuple[IamArn, ...] = Field(min_length=1)
    spinnaker: AwsSpinnaker


class GcpSpinnaker(_Part):
    """Whom Google lets act as Spinnaker's service account in this site."""

    principal: Annotated[str, StringConstraints(pattern=r"^(serviceAccount|principal|principalSet):\S+$")]


class GcpConfig(_SiteConfig):
    """A site on GKE. Who administers the cluster is the project's IAM to say (``roles/container.admin``)."""

    cloud: Literal["gcp"]
    project: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{4,28}[a-z0-9]$")]
    project_number: Annotated[str, StringConstraints(pattern=r"^\d{6,14}$")]
    billing_account: Annotated[str, StringConstraints(pattern=r"^[0-9A-F]{6}(-[0-9A-F]{6}){2}$")]
    refuse_plain_http: bool = Field(
        default=True, description="Sets the project's organisation policy; false where the project belongs to no organisation."
    )
    spinnaker: GcpSpinnaker


class AzureSpinnaker(_Part):
    """Whose tokens Azure takes for Spinnaker's identity in this site."""

    issuer: Annotated[str, StringConstraints(pattern=r"^https://\S+$")]
    subject: CapacityName


class AzureConfig(_SiteConfig):
    """A site on AKS. ``operators`` are the Entra groups that administer the cluster."""

    cloud: Literal["azure"]
    subscription: Uuid
    tenant: Uuid
    operators: tuple[Uuid, ...] = Field(min_length=1)
    budget_since: date = Field(description="The first day of a month; Azure takes no budget without one, and none from the past.")
    spinnaker: AzureSpinnaker


SiteConfig = AwsConfig | GcpConfig | AzureConfig
_MODELS: dict[str, type[AwsConfig] | type[GcpConfig] | type[AzureConfig]] = {
    "aws": AwsConfig,
    "gcp": GcpConfig,
    "azure": AzureConfig,
}
KEY = "lorafleet:site"


def read(document: Document) -> SiteConfig:
    """Turn the value of ``lorafleet:site`` into a configuration.

    Raises:
        ConfigError: with a problem for each missing, unknown or wrong key.
    """
    value: Any = document.value
    if not isinstance(value, dict):
        raise ConfigError(f"key '{KEY}' is missing", where=document.source, hint="copy one of the stack files of the repository")
    cloud = value.get("cloud")
    if not isinstance(cloud, str) or cloud not in _MODELS:
        raise ConfigError(f"cloud: {cloud!r} is none of {', '.join(_MODELS)}", where=document.where(("cloud",)))
    return validate(_MODELS[cloud], document)
