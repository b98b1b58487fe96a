"""The stack's own backup store: an S3 server on one volume, over TLS only."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import apps, core, meta

from infra.incluster import naming
from infra.incluster.components import pods, traffic
from infra.incluster.components.inside import Inside
from infra.incluster.components.namespaces import Namespace
from infra.incluster.config import ServedBackup
from infra.incluster.secrets import SERVER

COMPONENT = "backup-server"
TLS_SECRET = "backup-tls"  # noqa: S105
BUCKET = "weights"
URL = f"https://{COMPONENT}.{naming.BACKUP}.svc:{naming.S3_PORT}"
ACCESS_KEY = "lorafleet"
"""The server's one account; its secret key is a Secret's."""
_DATA = "/data"
_TLS = "/tls"


@dataclass(frozen=True)
class BackupServerProps:
    """``copiers`` is the namespace whose pods of the component ``copier`` write to it."""

    home: Namespace
    copiers: pulumi.Input[str]
    settings: ServedBackup
    storage_class: pulumi.Input[str] | None
    image: str
    pull_secret: str | None
    node_labels: Mapping[str, str]
    copier: str
    protect: bool


class BackupServer(Inside):
    """Objects are files on the volume, which a person can read without the server."""

    def __init__(self, name: str, props: BackupServerProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("backup-server", name, props.home, opts)
        where, labels = props.home.name, naming.selector(COMPONENT)
        account = core.v1.ServiceAccount(
            name, metadata=pods.metadata(COMPONENT, COMPONENT, where), automount_service_account_token=False, opts=self.child()
        )
        volume = core.v1.PersistentVolumeClaim(
            name,
            metadata=pods.metadata(COMPONENT, COMPONENT, where, pods.DO_NOT_WAIT),
            spec=core.v1.PersistentVolumeClaimSpecArgs(
                access_modes=["ReadWriteOnce"],
                storage_class_name=props.storage_class,
                resources=core.v1.VolumeResourceRequirementsArgs(requests={"storage": f"{props.settings.gib}Gi"}),
            ),
            opts=self.child(protect=props.protect),
        )
        key = core.v1.SecretKeySelectorArgs(name=SERVER.name, key=SERVER.key)
        mounts = (pods.claim("data", volume.metadata.name, _DATA), pods.secret("tls", TLS_SECRET, _TLS))
        container = pods.Container(
            name=COMPONENT,
            image=props.image,
            need=pods.Need("100m", "512Mi"),
            command=("versitygw",),
            args=("--port", f":{naming.S3_PORT}", "--cert", f"{_TLS}/tls.crt", "--key", f"{_TLS}/tls.key", "posix", _DATA),
            env=[
                core.v1.EnvVarArgs(name="ROOT_ACCESS_KEY", value=ACCESS_KEY),
                core.v1.EnvVarArgs(name="ROOT_SECRET_KEY", value_from=core.v1.EnvVarSourceArgs(secret_key_ref=key)),
            ],
            ports={"s3": naming.S3_PORT},
            volumes=mounts,
            readiness=core.v1.ProbeArgs(tcp_socket=core.v1.TCPSocketActionArgs(port="s3"), period_seconds=10, failure_threshold=3),
        )
        # A bucket is a folder.
        bucket = pods.Container(
            name="bucket",
            image=props.image,
            need=pods.Need("10m", "64Mi"),
            command=("mkdir", "-p", f"{_DATA}/{BUCKET}"),
            volumes=mounts[:1],
        )
        apps.v1.StatefulSet(
            name,
            metadata=pods.metadata(COMPONENT, COMPONENT, where, pods.DO_NOT_WAIT),
            spec=apps.v1.StatefulSetSpecArgs(
                replicas=1,
                service_name=COMPONENT,
                selector=meta.v1.LabelSelectorArgs(match_labels=labels),
                template=core.v1.PodTemplateSpecArgs(
                    metadata=meta.v1.ObjectMetaArgs(labels=labels),
                    spec=pods.restricted_pod(
                        [container],
                        init=[bucket],
                        account=account.metadata.name,
                        token=False,
                        pull_secret=props.pull_secret,
                        node_labels=props.node_labels,
                    ),
                ),
            ),
            opts=self.child(),
        )
        core.v1.Service(
            name,
            metadata=pods.metadata(COMPONENT, COMPONENT, where),
            spec=core.v1.ServiceSpecArgs(
                selector=labels, ports=[core.v1.ServicePortArgs(name="s3", port=naming.S3_PORT, target_port="s3")]
            ),
            opts=self.child(),
        )
        copiers = traffic.in_namespace(props.copiers, naming.selector(props.copier))
        traffic.policy(
            name,
            COMPONENT,
            COMPONENT,
            where,
            self.child(),
            pods=labels,
            ingress=[traffic.from_([copiers], naming.S3_PORT)],
        )
        self.register_outputs({})
