"""Whether stack files and sites' files are right and agree with each other; nothing is asked of any engine or cloud."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from itertools import combinations
from pathlib import Path

from infra.config import AwsConfig, AzureConfig, GcpConfig, SiteConfig
from infra.incluster.config import ENDING, InClusterConfig
from infra.incluster.stack_file import load_incluster
from infra.naming import Names
from infra.pools import Pool, resolve
from infra.sites.facts import FOLDER, facts_file, read_facts
from infra.sites.stacks import SiteStacks
from infra.stack_file import load, stack_file
from lorafleet.contracts.problems import LorafleetError, Problem
from lorafleet.contracts.site import Site


@dataclass(frozen=True)
class Checked:
    """A site with what its files hold, as far as they could be read."""

    stacks: SiteStacks
    cloud: SiteConfig | None
    incluster: InClusterConfig | None
    facts: Site | None
    stack_problems: tuple[Problem, ...]
    facts_problems: tuple[Problem, ...]

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Of the stack files, then of the site's file."""
        return self.stack_problems + self.facts_problems


def check_sites(root: Path, sites: Sequence[SiteStacks]) -> tuple[Checked, ...]:
    """Read each site's files and hold them against the rules and each other."""
    return tuple(_check(root, site) for site in sites)


def between(sites: Sequence[Checked]) -> Iterator[Problem]:
    """What is wrong between sites: ranges that overlap, so that the sites could never be joined."""
    ranges = [(site.stacks.name, IPv4Network(site.cloud.network.cidr)) for site in sites if site.cloud is not None]
    for (first, one), (second, other) in combinations(ranges, 2):
        if one.overlaps(other):
            what = f"network.cidr: {other} overlaps {one} of {first}"
            yield Problem(what, f"Pulumi.{second}.yaml", "sites that are ever joined need ranges of their own")


def without_stack(root: Path, sites: Sequence[SiteStacks]) -> Iterator[Problem]:
    """Sites' files that belong to no stack."""
    names = {site.name for site in sites}
    for path in sorted((root / FOLDER).glob("*.json")):
        if path.stem not in names:
            yield Problem(
                "there is no stack file of this site", f"{FOLDER}/{path.name}", "delete it, or bring its stack files back"
            )


def _check(root: Path, site: SiteStacks) -> Checked:
    problems: list[Problem] = []
    cloud: SiteConfig | None = None
    incluster: InClusterConfig | None = None
    facts: Site | None = None
    if site.cloud is not None:
        try:
            cloud = load(stack_file(root, site.cloud))
        except LorafleetError as error:
            problems.extend(error.problems)
    if site.incluster is not None:
        try:
            incluster = load_incluster(stack_file(root, site.incluster))
        except LorafleetError as error:
            problems.extend(error.problems)
    problems.extend(_pair(site, incluster))
    # No `destroy` has to wait for another site's file.
    told = list(_neighbours(root, site, incluster))
    if facts_file(root, site.name).exists():
        try:
            facts = read_facts(facts_file(root, site.name))
        except LorafleetError as error:
            told.extend(error.problems)
    if facts is not None:
        told.extend(_stale(site, cloud, incluster, facts))
    return Checked(site, cloud, incluster, facts, tuple(problems), tuple(told))


def _pair(site: SiteStacks, incluster: InClusterConfig | None) -> Iterator[Problem]:
    if site.incluster is None:
        hint = f"copy a Pulumi.…{ENDING}.yaml of the repository"
        yield Problem(f"there is no Pulumi.{site.name}{ENDING}.yaml", f"Pulumi.{site.name}.yaml", hint)
    if incluster is None or incluster.cloud_stack is not None:
        return
    where = f"Pulumi.{site.incluster}.yaml"
    if site.cloud is None and incluster.local is None:
        yield Problem("neither a cloud stack of this site nor 'local' says where the cluster is", where, "give one of them")
    if site.cloud is not None and incluster.local is not None:
        yield Problem("'local' is given, and a cloud stack of this site too", where, "keep one of them")


def _neighbours(root: Path, site: SiteStacks, incluster: InClusterConfig | None) -> Iterator[Problem]:
    for name in incluster.console.sites if incluster is not None and incluster.console is not None else ():
        if not facts_file(root, name).is_file():
            hint = f"lorafleet site export {name} writes it; until then take the site out"
            yield Problem(f"console.sites: there is no {FOLDER}/{name}.json", f"Pulumi.{site.incluster}.yaml", hint)


def _stale(site: SiteStacks, cloud: SiteConfig | None, incluster: InClusterConfig | None, facts: Site) -> Iterator[Problem]:
    where = f"{FOLDER}/{site.name}.json"
    hint = f"if the stacks are up as their files say, lorafleet site export {site.name} writes it again"
    for key, here, expected in _expected(site.name, cloud, incluster, facts):
        if here != expected:
            yield Problem(f"{key} is {_shown(here)}, and the stack file says {_shown(expected)}", where, hint)


def _expected(
    name: str, cloud: SiteConfig | None, incluster: InClusterConfig | None, facts: Site
) -> Iterator[tuple[str, object, object]]:
    pools = {(pool.type, pool.driver): pool.max for pool in facts.gpu_pools}
    if cloud is not None:
        yield "cloud", facts.cloud.value, cloud.cloud
        yield "region", facts.region, cloud.region
        yield "namespace", facts.namespace, cloud.namespace
        yield "cluster.name", facts.cluster.name, Names(name, cloud.organization, _owner(cloud)).cluster
        yield "gpu_pools", pools, _most([(pool.gpu, pool.driver, pool.max * pool.gpus) for pool in _resolved(cloud)])
    elif incluster is not None and incluster.local is not None:
        local = incluster.local
        yield "cloud", facts.cloud.value, "local"
        yield "region", facts.region, local.region
        yield "namespace", facts.namespace, local.namespace
        yield "registry", facts.registry, local.registry
        yield "object_store", facts.object_store, local.object_store
        yield "cluster.identifier", facts.cluster.identifier, local.identifier
        yield "gpu_pools", pools, _most([(pool.gpu, pool.driver, pool.gpus) for pool in local.gpu_pools])


def _resolved(cloud: SiteConfig) -> list[Pool]:
    return [resolve(cloud, pool) for pool in cloud.pools]


def _most(pools: Sequence[tuple[str, str, int]]) -> dict[tuple[str, str], int]:
    most: dict[tuple[str, str], int] = {}
    for gpu, driver, count in pools:
        most[gpu, driver] = most.get((gpu, driver), 0) + count
    return most


def _owner(cloud: SiteConfig) -> str:
    match cloud:
        case AwsConfig():
            return cloud.account
        case GcpConfig():
            return cloud.project
        case AzureConfig():
            return cloud.subscription


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count} {gpu} with driver {driver}" for (gpu, driver), count in sorted(value.items())) or "none"
    return f"'{value}'"
