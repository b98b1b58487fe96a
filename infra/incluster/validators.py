"""What an in-cluster configuration must hold before any resource is made: pure rules, each with a code."""

import re
from collections.abc import Callable, Collection, Iterator
from difflib import get_close_matches
from ipaddress import ip_network
from urllib.parse import urlsplit

from infra.incluster.config import InClusterConfig, site_of
from infra.incluster.images import TABLE
from infra.incluster.naming import KEDA, OWN_NAMESPACES
from infra.incluster.secrets import SPECS, needed
from infra.validators import Finding
from lorafleet.contracts.document import Document, Path
from lorafleet.contracts.gpus import GPUS
from lorafleet.contracts.image import parse_image
from lorafleet.contracts.layout import ID
from lorafleet.contracts.problems import ConfigError

Rule = Callable[[InClusterConfig], Iterator[Finding]]


def check_incluster(config: InClusterConfig, stack: str, given: Collection[str], document: Document) -> None:
    """Hold a configuration against every rule.

    ``given`` are the other keys of the stack's configuration, without the project's name.

    Raises:
        ConfigError: one line for each finding, with its code.
    """
    found = findings(config, stack, given)
    if found:
        raise ConfigError(finding.problem(document) for finding in found)


def findings(config: InClusterConfig, stack: str, given: Collection[str]) -> tuple[Finding, ...]:
    """Everything that is wrong with the configuration of a stack."""
    return (
        *_site(stack),
        *(finding for rule in RULES for finding in rule(config)),
        *_secrets(config, given),
    )


def _site(stack: str) -> Iterator[Finding]:
    if re.fullmatch(ID, site_of(stack)) is None:
        what = f"'{site_of(stack)}' is no name of a site"
        yield Finding("INF201", (), what, "name the stack SITE-incluster, with small letters, digits and hyphens")


def _source(config: InClusterConfig) -> Iterator[Finding]:
    if config.local is not None and config.cloud_stack is not None:
        hint = "remove 'cloud_stack' in a cluster of your own, 'local' in a cloud's"
        yield Finding("INF202", ("cloud_stack",), "a site is local or a cloud's, not both", hint)


def _local(config: InClusterConfig) -> Iterator[Finding]:
    local = config.local
    if local is None:
        return
    known = [gpu.name for gpu in GPUS]
    for number, pool in enumerate(local.gpu_pools):
        if pool.gpu not in known:
            near = get_close_matches(pool.gpu, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else "see the GPU table of the documentation"
            yield Finding("INF211", ("local", "gpu_pools", number, "gpu"), f"'{pool.gpu}' is no GPU of the table", hint)
    if local.shared is not None:
        given = [local.shared.storage_class, local.shared.nfs, local.shared.host_path]
        if sum(each is not None for each in given) != 1:
            yield Finding("INF212", ("local", "shared"), "shared: give one of storage_class, nfs and host_path")
    yield from _host(local.registry, "INF213", ("local", "registry"))
    if local.namespace in OWN_NAMESPACES or local.namespace.startswith("kube-") or local.namespace == "default":
        what = f"namespace: '{local.namespace}' is not for workers alone"
        yield Finding("INF214", ("local", "namespace"), what, "take another, such as lora")


def _images(config: InClusterConfig) -> Iterator[Finding]:
    for name in config.images.digests:
        if name not in TABLE:
            hint = f"the table has {', '.join(TABLE)}"
            yield Finding("INF241", ("images", "digests", name), f"images: '{name}' is no image of the stack", hint)
    if config.images.registry is not None:
        yield from _host(config.images.registry, "INF242", ("images", "registry"))
    if config.console_digest is None and (config.console is not None or config.backup is not None):
        what = "the key 'console_digest' is missing, and the console and the copying of weights run that image"
        yield Finding("INF243", (), what, "give the digest of the console image in the site's registry")


def _backup(config: InClusterConfig) -> Iterator[Finding]:
    backup = config.backup
    if backup is None:
        return
    if (backup.url is None) == (backup.serve is None):
        yield Finding("INF251", ("backup",), "backup: give either 'url', a store that is there, or 'serve', one of the stack's own")
    if config.local is not None and backup.url == config.local.object_store:
        yield Finding("INF253", ("backup", "url"), "backup: this is the site's own store", "name another, best in another place")
    endpoint = backup.source_settings.get("endpoint")
    if config.local is not None and endpoint is not None and _port(endpoint) != 443:
        what = f"backup: the site's own store is at '{endpoint}', and workers reach https at port 443 alone"
        yield Finding("INF254", ("backup", "source_settings", "endpoint"), what, "put the store behind a proxy at port 443")
    for key in ("settings", "source_settings"):
        for name in getattr(backup, key):
            if SECRET_SETTING.search(name):
                hint = "it belongs into the Secret: pulumi config set --secret"
                yield Finding("INF252", ("backup", key, name), f"backup: '{name}' is a secret", hint)


def _port(endpoint: str) -> int | None:
    try:
        return urlsplit(endpoint).port or (443 if endpoint.startswith("https://") else 80)
    except ValueError:
        return None


def _monitoring(config: InClusterConfig) -> Iterator[Finding]:
    if config.prometheus.url is None and config.prometheus.console is None and config.console is None:
        what = "prometheus: without the console's address it has no counters of releases, and KEDA nothing to scale by"
        yield Finding("INF261", ("prometheus",), what, "give 'console', the console's https address")


def _keda(config: InClusterConfig) -> Iterator[Finding]:
    if config.keda.mode == "install" and config.keda.namespace != KEDA:
        hint = "remove the key 'namespace', or make the mode 'present'"
        yield Finding("INF281", ("keda", "namespace"), f"keda: the stack installs it in the namespace '{KEDA}'", hint)


def _addresses(config: InClusterConfig) -> Iterator[Finding]:
    for number, given in enumerate(config.dns_ranges):
        try:
            ip_network(given)
        except ValueError:
            what = f"dns_ranges: '{given}' is no range of addresses"
            yield Finding("INF271", ("dns_ranges", number), what, "write it like 169.254.20.10/32")


def _secrets(config: InClusterConfig, given: Collection[str]) -> Iterator[Finding]:
    wanted = list(needed(config))
    for spec in wanted:
        present = spec.name in config.present_secrets
        if not present and spec.config not in given:
            hint = f"pulumi config set --secret lorafleet:{spec.config}, or name '{spec.name}' in present_secrets"
            yield Finding("INF221", (), f"the value of the Secret '{spec.name}' is missing", hint)
        if present and spec.config in given:
            what = f"the Secret '{spec.name}' is said to be present and has a value here too"
            yield Finding("INF222", ("present_secrets",), what, f"pulumi config rm lorafleet:{spec.config}, or take it out")
    for name in config.present_secrets:
        if name not in [spec.name for spec in wanted]:
            hint = f"this configuration reads {', '.join(spec.name for spec in wanted)}"
            yield Finding("INF223", ("present_secrets",), f"present_secrets: nothing reads '{name}'", hint)
    for spec in SPECS:
        if spec.config in given and spec not in wanted:
            yield Finding(
                "INF224", (), f"nothing reads the key 'lorafleet:{spec.config}'", f"pulumi config rm lorafleet:{spec.config}"
            )


def _host(registry: str, code: str, at: Path) -> Iterator[Finding]:
    try:
        found = bool(parse_image(f"{registry}/image").registry)
    except ValueError:
        found = False
    if not found:
        yield Finding(code, at, f"registry: '{registry}' is no host name, with a path where it has one")


RULES: tuple[Rule, ...] = (_source, _local, _images, _backup, _monitoring, _keda, _addresses)
SECRET_SETTING = re.compile(r"secret|password|token|account_key|access_key|sas|private_key", re.IGNORECASE)
