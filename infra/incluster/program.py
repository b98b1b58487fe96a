"""The in-cluster stack of a site: the same components in every cloud, and in a cluster of one's own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pulumi
import pulumi_kubernetes as k8s
from pydantic import ValidationError

from infra.contract import EXPORT, CloudOutputs
from infra.incluster import images, naming, quota
from infra.incluster.components.autoscaler import Autoscaler, AutoscalerProps
from infra.incluster.components.backup_server import BUCKET, BackupServer, BackupServerProps
from infra.incluster.components.backup_server import URL as S3_URL
from infra.incluster.components.console import COMPONENT, ConsoleProps, SiteConsole
from infra.incluster.components.devices import DcgmExporter, DevicePlugin, DeviceProps
from infra.incluster.components.disks import Disks
from infra.incluster.components.keda import KedaChart, KedaProps
from infra.incluster.components.mirror import COMPONENT as MIRROR
from infra.incluster.components.mirror import Mirror, MirrorProps
from infra.incluster.components.namespaces import Namespace, NamespaceProps
from infra.incluster.components.postgres import Postgres, PostgresProps
from infra.incluster.components.prometheus import PrometheusProps, SitePrometheus
from infra.incluster.components.secrets import ConfiguredSecret, SecretProps
from infra.incluster.components.shared_files import SharedFilesClaim, SharedFilesProps
from infra.incluster.components.spinnaker import Spinnaker, SpinnakerProps
from infra.incluster.components.traffic import port_of
from infra.incluster.components.workers import Workers, WorkersProps
from infra.incluster.config import KEY, InClusterConfig, Local, site_of
from infra.incluster.facts import Facts, from_cloud, from_local
from infra.incluster.images import image
from infra.incluster.kubeconfig import cluster_of, exec_kubeconfig, kubeconfig_path
from infra.incluster.prometheus_rules import rule_groups
from infra.incluster.scraping import Targets, configuration
from infra.incluster.secrets import BACKUP, SOURCE, SecretSpec, needed
from infra.sites.facts import facts_file, read_facts
from lorafleet.contracts.problems import LorafleetError, Problem
from lorafleet.contracts.site import Site

PROJECT = KEY.partition(":")[0]
PROVIDER = "kubernetes"
ROOT = Path(__file__).parents[2]
CONSOLE_IMAGE = "console"
Secrets = Mapping[SecretSpec, pulumi.Output[str]]

SITE_EXPORT = "site"
"""The stack's one output: the site's contract."""


def run(stack: str, config: InClusterConfig) -> None:
    """Run the in-cluster program of a stack; a cloud's facts are asked of its cloud stack before anything is declared.

    Raises:
        pulumi.RunError: the cloud stack, or the kubeconfig of one's own cluster, does not tell what is needed.
    """
    site = site_of(stack)
    try:
        neighbours = [read_facts(facts_file(ROOT, name)) for name in (config.console.sites if config.console else ())]
        kubeconfig = kubeconfig_path()
        cluster = cluster_of(config.local, kubeconfig) if config.local is not None else None
    except LorafleetError as error:
        raise pulumi.RunError(str(error)) from None
    values = pulumi.Config(PROJECT)
    secrets = {spec: value for spec in needed(config) if (value := values.get_secret(spec.config)) is not None}
    prometheus = config.prometheus.url or naming.PROMETHEUS_URL
    if config.local is not None and cluster is not None:
        facts = from_local(site, config.local, cluster, prometheus)
        provision(config, facts, local_provider(config.local, kubeconfig), secrets, neighbours)
        return
    reference = config.cloud_stack or f"{pulumi.get_organization()}/{pulumi.get_project()}/{site}"

    async def when_told() -> None:
        outputs = await _cloud_outputs(site, reference)
        provision(config, from_cloud(outputs, prometheus), cloud_provider(outputs), secrets, neighbours)

    pulumi.run(when_told)


async def _cloud_outputs(site: str, reference: str) -> CloudOutputs:
    hint = f"`pulumi up -s {site}` first, or name the stack as cloud_stack"
    details = await pulumi.StackReference("cloud", stack_name=reference).get_output_details(EXPORT)
    if details.value is None:
        raise pulumi.RunError(str(Problem(f"stack {reference} has no output '{EXPORT}' [INF205]", hint=hint)))
    try:
        outputs = CloudOutputs.model_validate(details.value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        at = ".".join(map(str, first["loc"]))
        what = f"stack {reference}: its output '{EXPORT}' is not as this version reads it: {at}: {first['msg']} [INF206]"
        raise pulumi.RunError(str(Problem(what, hint=hint))) from None
    if outputs.name != site:
        raise pulumi.RunError(str(Problem(f"stack {reference} is the site '{outputs.name}', not '{site}' [INF207]")))
    return outputs


def cloud_provider(outputs: CloudOutputs) -> k8s.Provider:
    """Speaks to a cloud's cluster with a credential that the cloud's command gives for minutes; none is in the state."""
    return k8s.Provider(
        PROVIDER,
        kubeconfig=exec_kubeconfig(outputs),
        cluster_identifier=outputs.cluster.identifier,
        enable_server_side_apply=True,
    )


def local_provider(local: Local, kubeconfig: Path) -> k8s.Provider:
    """Speaks to one's own cluster by a kubeconfig of one's own. It may hold keys, so that the state gets its path and not its text."""
    return k8s.Provider(
        PROVIDER,
        kubeconfig=str(kubeconfig),
        context=local.context,
        cluster_identifier=local.identifier,
        enable_server_side_apply=True,
    )


def provision(
    config: InClusterConfig, facts: Facts, provider: k8s.Provider, secrets: Secrets, neighbours: Sequence[Site] = ()
) -> None:
    """Declare everything that runs in a site's cluster besides the workers. ``neighbours`` are other sites, which a console checks."""
    _Stack(config, facts, provider, secrets, neighbours).declare()


class _Stack:
    """The parts of one stack; each method declares one, where the site wants it."""

    def __init__(
        self, config: InClusterConfig, facts: Facts, provider: k8s.Provider, secrets: Secrets, neighbours: Sequence[Site]
    ) -> None:
        self._config, self._facts, self._site = config, facts, facts.site
        self._provider, self._secrets, self._neighbours = provider, secrets, neighbours
        self._homes: dict[str, Namespace] = {}
        self._disks = Disks("disks", self._site.cloud, self._on())

    def declare(self) -> None:
        self._workers()
        self._spinnaker()
        self._devices()
        self._monitoring()
        self._keda()
        self._backup()
        self._postgres()
        self._console()
        for spec, value in self._secrets.items():
            ConfiguredSecret(spec.name, SecretProps(spec, self._homes[spec.where], value), self._on())
        pulumi.export(SITE_EXPORT, self._site.model_dump(mode="json"))

    def _on(self) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(providers=[self._provider])

    def _namespace(
        self, name: str, component: str, room: Mapping[str, str], *, holds_data: bool = False, privileged: bool = False
    ) -> Namespace:
        home = Namespace(
            component,
            NamespaceProps(
                name,
                component,
                room,
                protect=holds_data and self._config.protect,
                level="privileged" if privileged else "restricted",
            ),
            self._on(),
        )
        self._homes[component] = home
        return home

    def _image(self, name: str) -> str:
        return image(name, self._config.images)

    def _workers(self) -> None:
        config, facts, site = self._config, self._facts, self._site
        room = quota.for_workers(config.room, facts.gpus, claims=0 if facts.shared is None else 1)
        home = self._namespace(site.namespace, "workers", room, holds_data=True)
        Workers(
            "trainer",
            WorkersProps(home, site.cloud, site.identities.trainer, config.dns_ranges, config.images.pull_secret),
            self._on(),
        )
        if facts.shared is not None:
            SharedFilesClaim("shared", SharedFilesProps(site.name, home, facts.shared, config.protect), self._on())

    def _spinnaker(self) -> None:
        accounts = None
        if self._facts.deployer.kind == "ServiceAccount":
            accounts = self._namespace(naming.DEPLOYERS, "deployers", quota.for_service(0, "1", "1Gi"))
        Spinnaker("spinnaker", SpinnakerProps(self._homes["workers"], self._facts.deployer, accounts), self._on())

    def _devices(self) -> None:
        config, facts, site = self._config, self._facts, self._site
        if facts.device_plugin or facts.dcgm_exporter:
            home = self._namespace(naming.DEVICES, "devices", quota.for_service(4000, "1k", "4Ti"), privileged=True)

            def props(image_name: str) -> DeviceProps:
                return DeviceProps(home, self._image(image_name), config.images.pull_secret, facts.gpu_nodes, facts.taints)

            if facts.device_plugin:
                DevicePlugin("device-plugin", props(images.DEVICE_PLUGIN), self._on())
            if facts.dcgm_exporter:
                DcgmExporter("dcgm-exporter", props(images.DCGM_EXPORTER), self._on())
        if facts.autoscaler:
            Autoscaler(
                "autoscaler",
                AutoscalerProps(
                    cluster_name=site.cluster.name,
                    region=site.region,
                    image=self._image(images.AUTOSCALER),
                    pull_secret=config.images.pull_secret,
                    node_labels=facts.system_nodes,
                ),
                self._on(),
            )

    def _monitoring(self) -> None:
        config, facts = self._config, self._facts
        settings = config.prometheus
        if settings.url is not None:
            return
        console = settings.console if config.console is None else f"http://{COMPONENT}.{naming.CONSOLE}.svc:{naming.CONSOLE_PORT}"
        keda = config.keda.mode == "install"
        alertmanager = settings.alertmanager and f"http://{settings.alertmanager}"
        SitePrometheus(
            "prometheus",
            PrometheusProps(
                home=self._namespace(naming.MONITORING, "monitoring", quota.for_service(4, "4", "16Gi"), holds_data=True),
                settings=settings,
                storage_class=settings.storage_class or self._disks.storage_class,
                image=self._image(images.PROMETHEUS),
                pull_secret=config.images.pull_secret,
                node_labels=facts.system_nodes,
                configuration=configuration(Targets(self._site.name, console, settings.alertmanager, keda)),
                rules=rule_groups(settings.conditions),
                readers=(naming.KEDA if keda else config.keda.namespace, naming.CONSOLE),
                others=tuple(port_of(address) for address in (console, alertmanager) if address is not None),
                dns_ranges=config.dns_ranges,
                api_ports=config.api_ports,
                protect=config.protect,
            ),
            self._on(),
        )

    def _keda(self) -> None:
        config = self._config
        if config.keda.mode == "install":
            KedaChart(
                "keda",
                KedaProps(
                    home=self._namespace(naming.KEDA, "keda", quota.for_service(12, "8", "16Gi")),
                    settings=config.keda,
                    watched=self._site.namespace,
                    prometheus=str(self._site.prometheus),
                    registry=config.images.registry,
                    pull_secret=config.images.pull_secret,
                    node_labels=self._facts.system_nodes,
                    dns_ranges=config.dns_ranges,
                    api_ports=config.api_ports,
                ),
                self._on(),
            )

    def _backup(self) -> None:
        config, site, backup = self._config, self._site, self._config.backup
        if backup is None:
            return
        settings = backup.settings
        if backup.serve is not None:
            settings = {"endpoint": S3_URL, "region": "us-east-1"}
            BackupServer(
                "backup-server",
                BackupServerProps(
                    home=self._namespace(naming.BACKUP, "backup", quota.for_service(2, "2", "4Gi"), holds_data=True),
                    copiers=self._site.namespace,
                    settings=backup.serve,
                    storage_class=backup.serve.storage_class or self._disks.storage_class,
                    image=self._image(images.S3_SERVER),
                    pull_secret=config.images.pull_secret,
                    node_labels=self._facts.system_nodes,
                    copier=MIRROR,
                    protect=config.protect,
                ),
                self._on(),
            )
        endpoints = [each["endpoint"] for each in (backup.source_settings, settings) if "endpoint" in each]
        Mirror(
            "mirror",
            MirrorProps(
                home=self._homes["workers"],
                identity=site.identities.trainer,
                source=site.object_store,
                source_settings=backup.source_settings,
                source_secret=SOURCE if config.local is not None else None,
                target=backup.url or f"s3://{BUCKET}",
                target_settings=settings,
                target_secret=BACKUP,
                authority=backup.serve.authority if backup.serve is not None else None,
                ports=tuple(sorted({port_of(endpoint) for endpoint in endpoints} - {443})),
                schedule=backup.schedule,
                image=self._lorafleet(),
                pull_secret=config.images.pull_secret,
                node_labels=self._facts.system_nodes,
            ),
            self._on(),
        )

    def _postgres(self) -> None:
        config = self._config
        if config.postgres is not None:
            room = quota.for_postgres(exposed=config.postgres.exposed is not None)
            home = self._namespace(naming.POSTGRES, "postgres", room, holds_data=True)
            Postgres(
                "postgres",
                PostgresProps(
                    home=home,
                    site=self._site.name,
                    cloud=self._site.cloud,
                    config=config.postgres,
                    node_labels=self._facts.system_nodes,
                    dns_ranges=config.dns_ranges,
                    pull_secret=config.images.pull_secret,
                    protect=config.protect,
                ),
                self._on(),
            )

    def _console(self) -> None:
        config, site = self._config, self._site
        if config.console is None:
            return
        assert site.prometheus is not None, "every site of this stack has one"
        SiteConsole(
            "console",
            ConsoleProps(
                home=self._namespace(naming.CONSOLE, "console", quota.for_service(40, "32", "64Gi")),
                settings=config.console,
                host=urlsplit(config.console.url).hostname or "",
                sites=(site, *self._neighbours),
                cloud=site.cloud,
                image=self._lorafleet(),
                pull_secret=config.images.pull_secret,
                prometheus=site.prometheus,
                node_labels=self._facts.system_nodes,
                dns_ranges=config.dns_ranges,
            ),
            self._on(),
        )

    def _lorafleet(self) -> str:
        return f"{self._site.registry}/{CONSOLE_IMAGE}@{self._config.console_digest}"
