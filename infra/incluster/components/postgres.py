"""The console's PostgreSQL at home, or its streaming standby in another site: one server on one volume (docs/decisions/0017)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi
from pulumi_kubernetes import apps, batch, core, meta
from pulumi_kubernetes import policy as disruption

from infra.incluster.components import traffic
from infra.incluster.components.disks import disk_class
from infra.incluster.components.inside import Inside
from infra.incluster.components.namespaces import Namespace
from infra.incluster.components.pods import (
    Container,
    Need,
    Volume,
    claim,
    config_map,
    empty_dir,
    metadata,
    restricted_pod,
    secret,
)
from infra.incluster.naming import CONSOLE, POSTGRES, labels, selector
from infra.incluster.postgres_config import PostgresConfig
from lorafleet.contracts.site import Cloud

SERVER, DUMP = "postgres", "postgres-dump"
PORT = 5432
HOST = f"{SERVER}.{POSTGRES}.svc"
"""By what name the site's own console reaches the server; its certificate has it."""

_SCRIPTS = Path(__file__).parents[1] / "postgres_server"
_USER = 999  # Of the official image's Debian variant.
_READY = ["pg_isready", "-q", "-h", "/run/postgres"]
# A volume is only made when its pod is, and the pod only starts when its Secrets are there and the home is copied.
_DO_NOT_WAIT = {"pulumi.com/skipAwait": "true"}


@dataclass(frozen=True)
class PostgresProps:
    """``node_labels`` choose nodes that are not given back to a spot market; ``dns_ranges`` are resolvers outside the cluster."""

    home: Namespace
    site: str
    cloud: Cloud
    config: PostgresConfig
    node_labels: Mapping[str, str]
    dns_ranges: Sequence[str]
    pull_secret: str | None
    protect: bool


class Postgres(Inside):
    """A StatefulSet of one, its volumes, Services, what may reach them, and nightly dumps."""

    def __init__(self, name: str, props: PostgresProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("postgres", name, props.home, opts)
        self._props, self._config, self._namespace = props, props.config, props.home.name
        scripts = core.v1.ConfigMap(
            f"{name}-scripts",
            immutable=True,
            # Without a name of its own it gets a new one with each content, and so does the pod.
            metadata=meta.v1.ObjectMetaArgs(namespace=self._namespace, labels=labels(SERVER)),
            data={path.name: path.read_text(encoding="utf-8") for path in sorted(_SCRIPTS.iterdir())},
            opts=self.child(),
        )
        account = core.v1.ServiceAccount(
            name, metadata=self._metadata(SERVER), automount_service_account_token=False, opts=self.child()
        )
        self._account = account.metadata.name
        self._shared = (
            config_map("config", scripts.metadata.name, "/config"),
            secret("tls", self._config.certificate, "/tls"),
            secret("secrets", self._config.passwords, "/secrets"),
            empty_dir("run", "/run/postgres", limit="16Mi", memory=True),
        )
        self._services(name)
        self._traffic(name)
        disruption.v1.PodDisruptionBudget(
            name,
            metadata=self._metadata(SERVER),
            spec=disruption.v1.PodDisruptionBudgetSpecArgs(
                min_available=1, selector=meta.v1.LabelSelectorArgs(match_labels=selector(SERVER))
            ),
            opts=self.child(),
        )
        self._class = self._config.storage_class or disk_class(f"{name}-disks", POSTGRES, SERVER, props.cloud, self.child())
        self._server(name, self._volume(f"{name}-data", self._config.storage_gib, "/volume"))
        self._dumps(f"{name}-dump", self._volume(f"{name}-dumps", self._config.dumps_gib, "/dumps"))
        self.register_outputs({})

    def _metadata(self, name: str, component: str = SERVER, **annotations: str) -> meta.v1.ObjectMetaArgs:
        return metadata(name, component, self._namespace, annotations)

    def _volume(self, name: str, gib: int, path: str) -> Volume:
        made = core.v1.PersistentVolumeClaim(
            name,
            metadata=self._metadata(name, **_DO_NOT_WAIT),
            spec=core.v1.PersistentVolumeClaimSpecArgs(
                access_modes=["ReadWriteOnce"],
                storage_class_name=self._class,
                resources=core.v1.VolumeResourceRequirementsArgs(requests={"storage": f"{gib}Gi"}),
            ),
            opts=self.child(protect=self._props.protect),
        )
        return claim(path.strip("/"), made.metadata.name, path)

    def _services(self, name: str) -> None:
        core.v1.Service(
            name,
            metadata=self._metadata(SERVER),
            spec=core.v1.ServiceSpecArgs(selector=selector(SERVER), ports=[_port()]),
            opts=self.child(),
        )
        exposed = self._config.exposed
        if exposed is not None:
            core.v1.Service(
                f"{name}-peer",
                metadata=self._metadata(f"{SERVER}-peer", **exposed.annotations),
                spec=core.v1.ServiceSpecArgs(
                    type="LoadBalancer",
                    selector=selector(SERVER),
                    ports=[_port()],
                    load_balancer_source_ranges=list(exposed.allow),
                    # The pod's own policy can only tell the other site where its address is kept.
                    external_traffic_policy="Local",
                ),
                opts=self.child(),
            )

    def _traffic(self, name: str) -> None:
        exposed, home = self._config.exposed, self._config.home
        others = [traffic.block(each) for each in exposed.allow] if exposed is not None else []
        dumps = traffic.in_namespace(self._namespace, selector(DUMP))
        resolving = traffic.resolving(self._props.dns_ranges)
        following = [] if home is None else [
            resolving,
            traffic.to([traffic.block(each) for each in home.networks], home.port),
        ]  # fmt: skip
        traffic.policy(
            name,
            SERVER,
            SERVER,
            self._namespace,
            self.child(),
            pods=selector(SERVER),
            ingress=[traffic.from_([traffic.in_namespace(CONSOLE), dumps, *others], PORT)],
            egress=following,
        )
        server = traffic.in_namespace(self._namespace, selector(SERVER))
        traffic.policy(
            f"{name}-dump",
            DUMP,
            DUMP,
            self._namespace,
            self.child(),
            pods=selector(DUMP),
            egress=[resolving, traffic.to([server], PORT)],
        )

    def _container(self, name: str, script: str, need: Need, volumes: Sequence[Volume] = (), **environment: str) -> Container:
        home = self._config.home
        values = {
            "ROLE": self._config.role,
            "SITE": self._props.site,
            "VOLUME": "/volume",
            "CONFIG": "/config",
            "TLS": "/tls",
            "SECRETS": "/secrets",
            "RUN": "/run/postgres",
            **({} if home is None else {"HOME_HOST": home.host, "HOME_PORT": str(home.port)}),
            **environment,
        }
        return Container(
            name=name,
            image=self._config.image,
            need=need,
            command=["sh", f"/config/{script}"],
            env=[core.v1.EnvVarArgs(name=key, value=value) for key, value in values.items()],
            volumes=[*self._shared, *volumes],
        )

    def _pod(self, containers: Sequence[Container], restart_policy: str | None = None) -> core.v1.PodSpecArgs:
        return restricted_pod(
            containers,
            account=self._account,
            token=False,
            pull_secret=self._props.pull_secret,
            node_labels=self._props.node_labels,
            user=_USER,
            restart_policy=restart_policy,
        )

    def _server(self, name: str, data: Volume) -> None:
        shm = empty_dir("shm", "/dev/shm", limit="256Mi", memory=True)  # noqa: S108
        container = self._container(SERVER, "start.sh", Need("500m", "2Gi"), [data, shm])
        steward = self._container("steward", "steward.sh", Need("20m", "64Mi"), EVERY="30")
        pod = self._pod([container, steward])
        server = pod.containers[0]
        server.ports = [core.v1.ContainerPortArgs(name=SERVER, container_port=PORT)]
        server.lifecycle = core.v1.LifecycleArgs(
            pre_stop=core.v1.LifecycleHandlerArgs(exec_=core.v1.ExecActionArgs(command=["sh", "/config/stop.sh"]))
        )
        # Copying the home, or applying what a crash left, may take two hours.
        server.startup_probe = _probe(_READY, every=10, failures=720)
        server.liveness_probe = _probe(["sh", "/config/alive.sh"], every=10, failures=6)
        server.readiness_probe = _probe(_READY, every=5, failures=2)
        pod.termination_grace_period_seconds = 120
        apps.v1.StatefulSet(
            name,
            metadata=self._metadata(SERVER, **_DO_NOT_WAIT),
            spec=apps.v1.StatefulSetSpecArgs(
                replicas=1,
                service_name=SERVER,
                selector=meta.v1.LabelSelectorArgs(match_labels=selector(SERVER)),
                template=core.v1.PodTemplateSpecArgs(metadata=meta.v1.ObjectMetaArgs(labels=labels(SERVER)), spec=pod),
            ),
            opts=self.child(),
        )

    def _dumps(self, name: str, dumps: Volume) -> None:
        kept = str(self._config.dumps_kept)
        container = self._container("dump", "dump.sh", Need("100m", "512Mi"), [dumps], DUMPS="/dumps", HOST=HOST, KEEP=kept)
        template = core.v1.PodTemplateSpecArgs(
            metadata=meta.v1.ObjectMetaArgs(labels=labels(DUMP)), spec=self._pod([container], restart_policy="Never")
        )
        batch.v1.CronJob(
            name,
            metadata=self._metadata(DUMP, DUMP),
            spec=batch.v1.CronJobSpecArgs(
                schedule="23 2 * * *",
                time_zone="Etc/UTC",
                concurrency_policy="Forbid",
                failed_jobs_history_limit=3,
                successful_jobs_history_limit=1,
                job_template=batch.v1.JobTemplateSpecArgs(
                    spec=batch.v1.JobSpecArgs(backoff_limit=2, active_deadline_seconds=4 * 3600, template=template)
                ),
            ),
            opts=self.child(),
        )


def _port() -> core.v1.ServicePortArgs:
    return core.v1.ServicePortArgs(name=SERVER, port=PORT, target_port=SERVER)


def _probe(command: list[str], *, every: int, failures: int) -> core.v1.ProbeArgs:
    action = core.v1.ExecActionArgs(command=command)
    return core.v1.ProbeArgs(exec_=action, period_seconds=every, failure_threshold=failures, timeout_seconds=5)
