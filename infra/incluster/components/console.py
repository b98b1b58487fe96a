"""The console in this site: several of one program, behind the cluster's ingress, on one PostgreSQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import apps, core, meta, networking, policy

from infra.incluster import naming
from infra.incluster.components import pods, traffic
from infra.incluster.components.inside import Inside
from infra.incluster.components.namespaces import Namespace
from infra.incluster.config import Console
from infra.incluster.secrets import CONSOLE, DATABASE, SecretSpec
from lorafleet.contracts.site import Cloud, Site

COMPONENT = "console"
_DATA, _SITES = "/data", "/sites"
_POSTGRES = 5432


@dataclass(frozen=True)
class ConsoleProps:
    """``sites`` are this site and the others, for the checks before a release; ``host`` is of the console's address."""

    home: Namespace
    settings: Console
    host: str
    sites: Sequence[Site]
    cloud: Cloud
    image: str
    pull_secret: str | None
    prometheus: str
    node_labels: Mapping[str, str]
    dns_ranges: tuple[str, ...]


class SiteConsole(Inside):
    """Deployment, Service, Ingress, and what may pass. Its state is in PostgreSQL and in the stores, none in its pods."""

    def __init__(self, name: str, props: ConsoleProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("console", name, props.home, opts)
        self._name, self._props = name, props
        self._labels = naming.selector(COMPONENT)
        account = core.v1.ServiceAccount(
            name,
            metadata=self._metadata(COMPONENT, props.settings.account_annotations),
            automount_service_account_token=False,
            opts=self.child(),
        )
        sites = core.v1.ConfigMap(
            name,
            metadata=self._metadata("sites"),
            data={f"{site.name}.json": site.model_dump_json(indent=2) for site in props.sites},
            opts=self.child(),
        )
        mounts = [
            pods.empty_dir("data", _DATA, limit="20Gi"),
            pods.empty_dir("tmp", pods.TMP, limit="4Gi"),
            pods.empty_dir("scratch", "/scratch", limit="1Gi"),
            pods.config_map("sites", sites.metadata.name, _SITES),
        ]
        if props.settings.database_authority is not None:
            authority = core.v1.ConfigMap(
                f"{name}-authority",
                metadata=self._metadata("database-authority"),
                data={pods.AUTHORITY_KEY: props.settings.database_authority},
                opts=self.child(),
            )
            mounts.append(pods.authority(authority.metadata.name))
        self._deployment(account.metadata.name, mounts)
        self._reached()
        policy.v1.PodDisruptionBudget(
            name,
            metadata=self._metadata(COMPONENT),
            spec=policy.v1.PodDisruptionBudgetSpecArgs(
                max_unavailable=1, selector=meta.v1.LabelSelectorArgs(match_labels=self._labels)
            ),
            opts=self.child(),
        )
        self._traffic()
        self.register_outputs({})

    def _metadata(self, name: str, annotations: Mapping[str, str] | None = None) -> meta.v1.ObjectMetaArgs:
        return pods.metadata(name, COMPONENT, self._props.home.name, annotations)

    def _deployment(self, account: pulumi.Input[str], mounts: Sequence[pods.Volume]) -> None:
        props = self._props
        settings = props.settings
        container = pods.Container(
            name=COMPONENT,
            image=props.image,
            need=pods.Need("250m", "1Gi"),
            command=("lorafleet", "serve"),
            args=(
                *("--dir", _DATA, "--host", "0.0.0.0", "--port", str(naming.CONSOLE_PORT)),  # noqa: S104
                *("--replicas", str(settings.replicas), "--public-url", settings.url),
                *("--sites-dir", _SITES, "--prometheus", props.prometheus),
                *(("--site-home", settings.site_home) if settings.site_home else ()),
                *settings.arguments,
            ),
            env=[_from_secret("LORAFLEET_SECRET", CONSOLE), _from_secret("LORAFLEET_DATABASE", DATABASE)],
            env_from=settings.environment_secret,
            ports={"http": naming.CONSOLE_PORT},
            volumes=mounts,
            readiness=pods.http_probe("/readyz", "http", every=5, failures=3),
            liveness=pods.http_probe("/healthz", "http", every=15, failures=4),
        )
        pod = pods.restricted_pod(
            [container],
            account=account,
            token=False,
            pull_secret=props.pull_secret,
            node_labels=props.node_labels,
        )
        pod.topology_spread_constraints = [
            core.v1.TopologySpreadConstraintArgs(
                max_skew=1,
                topology_key="kubernetes.io/hostname",
                when_unsatisfiable="ScheduleAnyway",
                label_selector=meta.v1.LabelSelectorArgs(match_labels=self._labels),
            )
        ]
        apps.v1.Deployment(
            self._name,
            metadata=self._metadata(COMPONENT, pods.DO_NOT_WAIT),
            spec=apps.v1.DeploymentSpecArgs(
                replicas=settings.replicas,
                strategy=apps.v1.DeploymentStrategyArgs(
                    type="RollingUpdate", rolling_update=apps.v1.RollingUpdateDeploymentArgs(max_unavailable=0, max_surge=1)
                ),
                selector=meta.v1.LabelSelectorArgs(match_labels=self._labels),
                template=core.v1.PodTemplateSpecArgs(metadata=meta.v1.ObjectMetaArgs(labels=self._labels), spec=pod),
            ),
            opts=self.child(),
        )

    def _reached(self) -> None:
        settings = self._props.settings
        service = core.v1.Service(
            self._name,
            metadata=self._metadata(COMPONENT),
            spec=core.v1.ServiceSpecArgs(
                selector=self._labels,
                ports=[core.v1.ServicePortArgs(name="http", port=naming.CONSOLE_PORT, target_port="http")],
                # The parts of an upload lie with the console that took the first.
                session_affinity="ClientIP",
            ),
            opts=self.child(),
        )
        backend = networking.v1.IngressBackendArgs(
            service=networking.v1.IngressServiceBackendArgs(
                name=service.metadata.name, port=networking.v1.ServiceBackendPortArgs(name="http")
            )
        )
        networking.v1.Ingress(
            self._name,
            metadata=self._metadata(COMPONENT, {**pods.DO_NOT_WAIT, **settings.ingress_annotations}),
            spec=networking.v1.IngressSpecArgs(
                ingress_class_name=settings.ingress_class,
                tls=[networking.v1.IngressTLSArgs(hosts=[self._props.host], secret_name=settings.tls_secret)],
                rules=[
                    networking.v1.IngressRuleArgs(
                        host=self._props.host,
                        http=networking.v1.HTTPIngressRuleValueArgs(
                            paths=[networking.v1.HTTPIngressPathArgs(path="/", path_type="Prefix", backend=backend)]
                        ),
                    )
                ],
            ),
            opts=self.child(),
        )

    def _traffic(self) -> None:
        props = self._props
        readers = [traffic.in_namespace(each) for each in (props.settings.ingress_namespace, naming.MONITORING)]
        traffic.policy(
            self._name,
            COMPONENT,
            COMPONENT,
            props.home.name,
            self.child(),
            pods=self._labels,
            ingress=[traffic.from_(readers, naming.CONSOLE_PORT)],
            egress=[
                traffic.resolving(props.dns_ranges),
                traffic.to_ports(443, _POSTGRES),
                traffic.to_prometheus(props.prometheus),
                *traffic.to_identity(props.cloud),
            ],
        )


def _from_secret(variable: str, spec: SecretSpec) -> core.v1.EnvVarArgs:
    key = core.v1.SecretKeySelectorArgs(name=spec.name, key=spec.key)
    return core.v1.EnvVarArgs(name=variable, value_from=core.v1.EnvVarSourceArgs(secret_key_ref=key))
