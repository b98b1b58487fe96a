"""The typed configuration of a site's in-cluster stack, from the key ``lorafleet:incluster`` of ``Pulumi.<site>-incluster.yaml``."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from infra.incluster.naming import KEDA
from infra.incluster.postgres_config import PostgresConfig
from lorafleet.contracts.conditions import ConditionText
from lorafleet.contracts.document import Document, validate
from lorafleet.contracts.fleet import Rollback
from lorafleet.contracts.identifiers import Digest, Id
from lorafleet.contracts.problems import ConfigError

KEY = "lorafleet:incluster"
ENDING = "-incluster"
"""How the name of an in-cluster stack ends; what stands before it is the site's name."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
Quantity = Annotated[str, StringConstraints(pattern=r"^[1-9]\d*(m|Ki|Mi|Gi|Ti)?$")]
_HOST = r"(\[[0-9A-Fa-f:.]+\]|[^\s/?#@:\[\]]+)"
_PORT = r"[1-9]\d{0,4}"
WebUrl = Annotated[str, StringConstraints(pattern=rf"^https?://{_HOST}(:{_PORT})?(/[^\s?#]*)?$")]
HttpsUrl = Annotated[str, StringConstraints(pattern=rf"^https://{_HOST}(:{_PORT})?(/[^\s?#]*)?$")]
HostAndPort = Annotated[str, StringConstraints(pattern=rf"^{_HOST}:{_PORT}$")]
StoreUrl = Annotated[str, StringConstraints(pattern=r"^(s3|gs|az)://[^\s?#@]+$")]
Cron = Annotated[str, StringConstraints(pattern=r"^[\d*/,-]+( [\d*/,-]+){4}$")]
Pem = Annotated[str, StringConstraints(pattern=r"^-----BEGIN CERTIFICATE-----\s", max_length=65_536)]
Mode = Literal["install", "present"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Nfs(_Part):
    """An export of an NFS server of one's own."""

    server: Text
    path: Annotated[str, StringConstraints(pattern=r"^/\S*$")]


class LocalVolume(_Part):
    """Where the shared files of a local site lie: exactly one of the three."""

    storage_class: Id | None = Field(default=None, description="A class of the cluster that makes volumes for many nodes.")
    nfs: Nfs | None = None
    host_path: Annotated[str, StringConstraints(pattern=r"^/\S+$")] | None = Field(
        default=None, description="A folder of the node; only where the cluster has a single one."
    )
    gib: int = Field(default=200, ge=1, strict=True)


class LocalPool(_Part):
    """Nodes with GPUs that are there already. ``gpus`` are all of the pool together."""

    gpu: Text
    driver: str = Field(pattern=r"^\d+(\.\d+)*$")
    gpus: int = Field(ge=1, le=100_000, strict=True)
    node_labels: dict[str, str] = Field(
        default={"nvidia.com/gpu.present": "true"}, min_length=1, description="What the pool's nodes are known by."
    )


class Local(_Part):
    """A cluster of one's own: the facts that a cloud stack would have told.

    The kubeconfig is the one that ``KUBECONFIG`` or kubectl's default names; its ``context`` is named here, so that nothing is
    done to whatever cluster happens to be current. Address and authority of the cluster are read from it.
    """

    region: Text = Field(default="local", description="Where it stands, in your own words.")
    namespace: Id = "lora"
    context: Text
    identifier: Text = Field(description="A name of the cluster that never changes: another one means another cluster.")
    endpoint: HttpsUrl | None = Field(default=None, description="Where others reach the API, if not as the kubeconfig says.")
    registry: Text
    object_store: StoreUrl
    gpu_pools: tuple[LocalPool, ...] = ()
    shared: LocalVolume | None = None
    device_plugin: bool = Field(default=True, description="False where the cluster has NVIDIA's device plugin.")
    dcgm_exporter: bool = Field(default=True, description="False where the cluster has one.")


class Images(_Part):
    """Where images of others come from. ``registry`` is a mirror that has all of them under their last name."""

    registry: Text | None = None
    pull_secret: Id | None = Field(default=None, description="A Secret with the credentials of that registry, in each namespace.")
    digests: dict[str, Digest] = Field(
        default_factory=dict, description="By the name in the table of images, over the table's own."
    )


class Room(_Part):
    """What all pods of the workers' namespace may ask for together, beside the GPUs of the pools."""

    cpu: Quantity = "512"
    memory: Quantity = "4Ti"
    pods: int = Field(default=200, ge=1, strict=True)


class Prometheus(_Part):
    """The site's Prometheus. ``url`` is one that is there already; then none is installed.

    ``console`` is scraped for the counters of the releases; KEDA scales on one of them.
    """

    url: WebUrl | None = None
    console: WebUrl | None = Field(default=None, description="The console's address; not needed where this stack has the console.")
    alertmanager: HostAndPort | None = Field(default=None, description="host:port of an Alertmanager.")
    conditions: tuple[ConditionText, ...] = Field(
        default=Rollback().conditions, description="Alerts for the releases; as the fleet's `rollback.conditions`."
    )
    retention_days: int = Field(default=15, ge=1, le=730, strict=True)
    storage_class: Id | None = None
    gib: int = Field(default=20, ge=1, strict=True)


class Keda(_Part):
    """KEDA, from its own chart. ``chart`` is a repository's address, an ``oci://`` address or a folder."""

    mode: Mode = "install"
    namespace: Id = Field(
        default=KEDA, description="Where one that is there already has its pods: they alone, and the console, ask Prometheus."
    )
    chart: Text = "https://kedacore.github.io/charts"
    version: Annotated[str, StringConstraints(pattern=r"^\d+\.\d+\.\d+$")] = "2.17.2"


class ServedBackup(_Part):
    """An S3 server of the stack's own, on one volume, by the name ``backup-server.lorafleet-backup.svc``.

    Its certificate is the Secret ``backup-tls`` in the namespace lorafleet-backup; ``authority`` is who signed it, in PEM.
    """

    authority: Pem

    gib: int = Field(default=500, ge=1, strict=True)
    storage_class: Id | None = None


class Backup(_Part):
    """Where finished weights are copied to: an S3-compatible store that is there already (``url``), or one of the stack's own."""

    url: StoreUrl | None = None
    settings: dict[str, str] = Field(default_factory=dict, description="Of the store, such as endpoint and region; no secrets.")
    serve: ServedBackup | None = None
    source_settings: dict[str, str] = Field(default_factory=dict, description="The same of the site's own store.")
    schedule: Cron = "17 * * * *"


class Console(_Part):
    """The console in this site. ``arguments`` are further ones of ``lorafleet serve``.

    It reads and writes every site's store. Who it is to them is given by ``account_annotations``, as the cloud's workload identity wants
    them, or by ``environment_secret``, a Secret of environment variables as the clouds' own tools read them.
    """

    url: HttpsUrl
    replicas: int = Field(default=2, ge=2, le=20, strict=True)
    ingress_class: Text
    ingress_namespace: Id = Field(
        description="Where the ingress controller's pods run: they alone, and Prometheus, reach the console."
    )
    ingress_annotations: dict[str, str] = Field(default_factory=dict, description="Of the controller, such as sticky sessions.")
    tls_secret: Id = "console-tls"  # noqa: S105
    site_home: Id | None = None
    account_annotations: dict[str, str] = Field(default_factory=dict)
    environment_secret: Id | None = None
    database_authority: Pem | None = Field(
        default=None, description="Who signed the database's certificate: the file /authority/ca.crt that its address may name."
    )
    sites: tuple[Id, ...] = Field(default=(), description="Other sites, whose sites/SITE.json the checks before a release read.")
    arguments: tuple[Text, ...] = ()


class InClusterConfig(_Part):
    """What runs in a site's cluster besides the workers, which Spinnaker brings.

    ``present_secrets`` are those that another hand puts there; all others that are needed have their value in the stack's
    configuration, encrypted.
    """

    cloud_stack: Text | None = Field(
        default=None, description="ORGANISATION/PROJECT/STACK, if not this project's stack of the site."
    )
    local: Local | None = None
    images: Images = Images()
    room: Room = Room()
    api_ports: tuple[Annotated[int, Field(ge=1, le=65535, strict=True)], ...] = Field(
        default=(443, 6443), min_length=1, description="Where pods that speak to the cluster's API find it."
    )
    dns_ranges: tuple[Text, ...] = Field(
        default=("169.254.20.10/32", "169.254.169.254/32"),
        description="Resolvers outside the cluster's own, such as the node's cache.",
    )
    prometheus: Prometheus = Prometheus()
    keda: Keda = Keda()
    console_digest: Digest | None = Field(
        default=None,
        description="Of lorafleet's console image in the site's registry: the console and the copying of weights run it.",
    )
    backup: Backup | None = None
    console: Console | None = None
    postgres: PostgresConfig | None = Field(default=None, description="The console's database, or the other site's standby.")
    present_secrets: tuple[Id, ...] = ()
    protect: bool = Field(default=True, description="False, and one `pulumi up`, before a site is torn down.")


def is_incluster(stack: str) -> bool:
    """Whether a stack of this name is an in-cluster stack."""
    return stack.endswith(ENDING)


def site_of(stack: str) -> str:
    """The site that an in-cluster stack belongs to."""
    return stack.removesuffix(ENDING)


def read_incluster(document: Document) -> InClusterConfig:
    """Turn the value of ``lorafleet:incluster`` into a configuration.

    Raises:
        ConfigError: with a problem for each missing, unknown or wrong key.
    """
    value: Any = document.value
    if not isinstance(value, dict):
        raise ConfigError(f"key '{KEY}' is missing", where=document.source, hint="copy one of the stack files of the repository")
    return validate(InClusterConfig, document)
