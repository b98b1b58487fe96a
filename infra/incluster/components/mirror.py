"""The copying of finished weights to the backup: `lorafleet mirror` by the clock, which compares by SHA-256 and deletes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import batch, core, meta

from infra.incluster import naming
from infra.incluster.components import pods, traffic
from infra.incluster.components.inside import Inside
from infra.incluster.components.namespaces import Namespace
from infra.incluster.secrets import SecretSpec
from lorafleet.contracts.site import TrainerIdentity

COMPONENT = "mirror"
_GIVEN, _OWN = "/given", "/run/mirror"


@dataclass(frozen=True)
class MirrorProps:
    """``home`` is the workers' namespace: in a cloud the site's own store is read as the trainer, whom the cloud knows only there.

    ``source_secret`` is for a cluster of one's own, which no cloud knows. ``authority`` is the certificate authority of the stack's own
    backup server, in PEM, where that is the target. ``ports`` are those of the stores beside 443.
    """

    home: Namespace
    identity: TrainerIdentity
    source: str
    source_settings: Mapping[str, str]
    source_secret: SecretSpec | None
    target: str
    target_settings: Mapping[str, str]
    target_secret: SecretSpec
    authority: str | None
    ports: tuple[int, ...]
    schedule: str
    image: str
    pull_secret: str | None
    node_labels: Mapping[str, str]


class Mirror(Inside):
    """A CronJob of which never two run at once."""

    def __init__(self, name: str, props: MirrorProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("mirror", name, props.home, opts)
        where, labels = props.home.name, naming.selector(COMPONENT)
        authority = None
        if props.authority is not None:
            authority = core.v1.ConfigMap(
                name,
                metadata=pods.metadata("backup-authority", COMPONENT, where),
                data={pods.AUTHORITY_KEY: props.authority},
                opts=self.child(),
            )
        spec = pods.restricted_pod(
            [_container(props, authority)],
            init=[_private_copies(props)],
            account=props.identity.service_account,
            token=False,
            pull_secret=props.pull_secret,
            node_labels=props.node_labels,
            restart_policy="Never",
        )
        batch.v1.CronJob(
            name,
            metadata=pods.metadata(COMPONENT, COMPONENT, where),
            spec=batch.v1.CronJobSpecArgs(
                schedule=props.schedule,
                time_zone="Etc/UTC",
                concurrency_policy="Forbid",
                starting_deadline_seconds=600,
                successful_jobs_history_limit=1,
                failed_jobs_history_limit=3,
                job_template=batch.v1.JobTemplateSpecArgs(
                    spec=batch.v1.JobSpecArgs(
                        backoff_limit=2,
                        active_deadline_seconds=6 * 3600,
                        template=core.v1.PodTemplateSpecArgs(
                            metadata=meta.v1.ObjectMetaArgs(labels={**props.identity.pod_labels, **labels}), spec=spec
                        ),
                    )
                ),
            ),
            opts=self.child(),
        )
        if props.ports:
            traffic.policy(name, COMPONENT, COMPONENT, where, self.child(), pods=labels, egress=[traffic.to_ports(*props.ports)])
        self.register_outputs({})


def _container(props: MirrorProps, authority: core.v1.ConfigMap | None) -> pods.Container:
    source = props.source_secret
    arguments = [
        props.source,
        props.target,
        *(["--source-secret", f"{_OWN}/{source.key}"] if source is not None else []),
        *("--target-secret", f"{_OWN}/{props.target_secret.key}"),
        *_settings("--source-setting", props.source_settings),
        *_settings("--target-setting", props.target_settings),
        "--json",
    ]
    volumes = [pods.empty_dir("own", _OWN, limit="1Mi", memory=True), pods.empty_dir("tmp", pods.TMP, limit="2Gi")]
    env = [core.v1.EnvVarArgs(name="HOME", value=pods.TMP)]
    if authority is not None:
        volumes.append(pods.authority(authority.metadata.name))
        # Beside the image's own authorities, which the site's store is known by.
        env.append(core.v1.EnvVarArgs(name="SSL_CERT_DIR", value="/etc/ssl/certs"))
        env.append(core.v1.EnvVarArgs(name="SSL_CERT_FILE", value=pods.AUTHORITY_FILE))
    return pods.Container(
        name=COMPONENT,
        image=props.image,
        need=pods.Need("100m", "1Gi"),
        command=("lorafleet", "mirror"),
        args=arguments,
        env=env,
        volumes=volumes,
    )


def _private_copies(props: MirrorProps) -> pods.Container:
    """Kubernetes lets the pod's group read a Secret's files; lorafleet takes only those that nobody but their owner may read."""
    specs = [spec for spec in (props.source_secret, props.target_secret) if spec is not None]
    return pods.Container(
        name="keys",
        image=props.image,
        need=pods.Need("10m", "64Mi"),
        command=("install", "-m", "0600", "-t", _OWN, *(f"{_GIVEN}/{spec.name}/{spec.key}" for spec in specs)),
        volumes=[
            pods.empty_dir("own", _OWN, limit="1Mi", memory=True),
            *(pods.secret(spec.name, spec.name, f"{_GIVEN}/{spec.name}") for spec in specs),
        ],
    )


def _settings(option: str, settings: Mapping[str, str]) -> list[str]:
    return [word for key, value in sorted(settings.items()) for word in (option, f"{key}={value}")]
