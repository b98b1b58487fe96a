"""What a configuration must hold before any resource is made: pure rules, each with a code."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import AddressValueError, IPv4Network, NetmaskValueError, ip_network

from infra.addresses import PREFIXES, RESERVED
from infra.catalog import GKE_ACCELERATORS, GPU_NAMES, REGIONS, find_offer, offers, regions
from infra.config import AzureConfig, GpuPool, SiteConfig
from infra.pools import zones
from lorafleet.contracts.document import Document, Path
from lorafleet.contracts.problems import ConfigError, Problem


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a configuration, at a key of it; the codes are stable."""

    code: str
    at: Path
    what: str
    hint: str = ""

    def problem(self, document: Document) -> Problem:
        """As a line for a person, with the place in the document that the configuration was read from."""
        return Problem(f"{self.what} [{self.code}]", document.where(self.at), self.hint)


Rule = Callable[[SiteConfig], Iterator[Finding]]
_PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
_CAPACITIES = {
    "aws": ("on-demand", "spot", "reserved", "capacity-block"),
    "gcp": ("on-demand", "spot", "reserved", "flex-start"),
    "azure": ("on-demand", "spot", "reserved"),
}
_RESERVING = ("reserved", "capacity-block")
_AKS_NAME = 12
_GKE_NAME = 32


def check(config: SiteConfig, document: Document) -> None:
    """Hold a configuration against every rule. ``document`` is what it was read from.

    Raises:
        ConfigError: one line for each finding, with its code.
    """
    found = findings(config)
    if found:
        raise ConfigError(finding.problem(document) for finding in found)


def findings(config: SiteConfig) -> tuple[Finding, ...]:
    """Everything that is wrong with a configuration."""
    return tuple(finding for rule in RULES for finding in rule(config))


def _region(config: SiteConfig) -> Iterator[Finding]:
    known = (config.cloud, config.region) in REGIONS
    if not known and not config.zones:
        near = get_close_matches(config.region, regions(config.cloud), n=1)
        hint = f"did you mean '{near[0]}'?" if near else "give its zones, and gpu, gpus and zones of each pool"
        yield Finding("INF101", ("region",), f"region '{config.region}' is not in the catalogue of {config.cloud}", hint)
    if known and config.zones:
        yield Finding("INF102", ("zones",), f"region '{config.region}' is in the catalogue", "remove the key 'zones'")
    if config.zones and (len(config.zones) not in (2, 3) or len(set(config.zones)) != len(config.zones)):
        yield Finding(
            "INF103",
            ("zones",),
            "zones: a site has two or three different zones",
            "EKS wants two, an address range is cut for three",
        )


def _range(config: SiteConfig) -> Iterator[Finding]:
    given = config.network.cidr
    network = _parsed(given)
    if network is None:
        yield Finding(
            "INF111",
            ("network", "cidr"),
            f"network.cidr: '{given}' is no IPv4 range",
            "write it like 10.40.0.0/16, with no bits set after the prefix",
        )
        return
    if not any(network.subnet_of(private) for private in _PRIVATE):
        yield Finding("INF112", ("network", "cidr"), f"network.cidr: {network} is not private", "take one from 10.0.0.0/8")
    if network.prefixlen not in PREFIXES:
        least, most = PREFIXES[0], PREFIXES[-1]
        yield Finding(
            "INF113",
            ("network", "cidr"),
            f"network.cidr: /{network.prefixlen} is no size of a site",
            f"take a /{least} to a /{most}",
        )
    for reserved in RESERVED:
        if network.overlaps(reserved):
            yield Finding(
                "INF114",
                ("network", "cidr"),
                f"network.cidr: {network} overlaps {reserved}, which the cluster uses itself",
                "take one from 10.0.0.0/8",
            )


def _allow_list(config: SiteConfig) -> Iterator[Finding]:
    for number, given in enumerate(config.api.allow):
        network = _parsed(given)
        if network is None:
            yield Finding(
                "INF121", ("api", "allow", number), f"api.allow: '{given}' is no IPv4 range", "write it like 203.0.113.0/24"
            )
        elif network.prefixlen < 8:
            yield Finding(
                "INF122",
                ("api", "allow", number),
                f"api.allow: {network} lets the whole world at the API",
                "name the ranges that operators and Spinnaker come from",
            )


def _pools(config: SiteConfig) -> Iterator[Finding]:
    names = [pool.name for pool in config.pools]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1 or name == "system"):
        yield Finding(
            "INF131", ("pools",), f"pools: '{name}' stands twice or is the system pool's name", "each pool has a name of its own"
        )
    if config.system.min > config.system.max:
        yield Finding("INF132", ("system", "min"), f"system: min {config.system.min} is more than max {config.system.max}")
    for number, pool in enumerate(config.pools):
        if config.cloud == "azure" and (len(pool.name) > _AKS_NAME or not pool.name.isalnum() or not pool.name[0].isalpha()):
            yield Finding(
                "INF133",
                ("pools", number, "name"),
                f"pool '{pool.name}': AKS takes 1 to {_AKS_NAME} small letters and digits, a letter first",
            )
        if config.cloud == "gcp" and len(pool.name) > _GKE_NAME:
            yield Finding(
                "INF133",
                ("pools", number, "name"),
                f"pool '{pool.name}': at most {_GKE_NAME} characters, since Pulumi adds eight to make it unique",
            )
        yield from _offer(config, pool, ("pools", number))
        yield from _capacity(config, pool, ("pools", number))


def _offer(config: SiteConfig, pool: GpuPool, at: Path) -> Iterator[Finding]:
    offer = find_offer(config.cloud, config.region, pool.machine)
    where = f"pool '{pool.name}'"
    described = pool.gpu is not None and pool.gpus is not None and (bool(pool.zones) or config.cloud == "azure")
    # In a region that nobody knows (INF101) it says nothing more.
    if offer is None and not described and zones(config):
        what = f"{where}: {pool.machine} is not offered in {config.region}"
        yield Finding("INF141", (*at, "machine"), what, _elsewhere(config, pool.machine))
    if offer is not None and (pool.gpu not in (None, offer.gpu) or pool.gpus not in (None, offer.gpus)):
        what = f"{where}: {pool.machine} has {offer.gpus} {offer.gpu}"
        yield Finding("INF142", at, what, "remove gpu and gpus: the catalogue has them")
    of_machine = offer.zones if offer else ()
    for zone in pool.zones:
        if of_machine and zone not in of_machine:
            what = f"{where}: {pool.machine} is not offered in zone {zone}"
            yield Finding("INF143", (*at, "zones"), what, f"it is in {', '.join(of_machine)}")
        elif zones(config) and zone not in zones(config):
            what = f"{where}: zone {zone} is none of the region's"
            yield Finding("INF144", (*at, "zones"), what, f"they are {', '.join(zones(config))}")
    gpu = pool.gpu or (offer.gpu if offer else None)
    if gpu is not None and gpu not in GPU_NAMES:
        near = get_close_matches(gpu, GPU_NAMES, n=1)
        hint = f"did you mean '{near[0]}'?" if near else "see the GPU table of the documentation"
        yield Finding("INF145", at, f"{where}: '{gpu}' is no GPU of the table", hint)
    elif config.cloud == "gcp" and gpu is not None and gpu not in GKE_ACCELERATORS:
        yield Finding("INF146", at, f"{where}: GKE has no accelerator {gpu}", f"it has {', '.join(GKE_ACCELERATORS)}")


def _elsewhere(config: SiteConfig, machine: str) -> str:
    found = [region for region in regions(config.cloud) if find_offer(config.cloud, region, machine)]
    if found:
        return f"it is in {', '.join(found)}"
    near = get_close_matches(machine, [offer.machine for offer in offers(config.cloud, config.region)], n=1)
    return f"did you mean {near[0]}?" if near else "or give its gpu, gpus and zones"


def _capacity(config: SiteConfig, pool: GpuPool, at: Path) -> Iterator[Finding]:
    where = f"pool '{pool.name}'"
    if pool.capacity not in _CAPACITIES[config.cloud]:
        yield Finding(
            "INF151",
            (*at, "capacity"),
            f"{where}: {config.cloud} has no capacity '{pool.capacity}'",
            f"it has {', '.join(_CAPACITIES[config.cloud])}",
        )
    if pool.capacity in _RESERVING and pool.reservation is None:
        yield Finding(
            "INF152",
            at,
            f"{where}: capacity '{pool.capacity}' needs the key 'reservation'",
            "name the reservation that the nodes use",
        )
    if pool.capacity not in _RESERVING and pool.reservation is not None:
        hint = "make the capacity 'reserved', or remove the key 'reservation'"
        yield Finding("INF153", (*at, "reservation"), f"{where}: a {pool.capacity} node uses no reservation", hint)
    if pool.capacity in _RESERVING and config.cloud != "azure" and len(pool.zones) != 1:
        yield Finding("INF154", at, f"{where}: a reservation stands in one zone", "give that zone as 'zones: [ZONE]'")


def _budget(config: SiteConfig) -> Iterator[Finding]:
    if isinstance(config, AzureConfig) and config.budget_since.day != 1:
        yield Finding(
            "INF161",
            ("budget_since",),
            f"budget_since: {config.budget_since} is not the first of a month",
            "Azure counts a budget from the first",
        )


RULES: tuple[Rule, ...] = (_region, _range, _allow_list, _pools, _budget)


def _parsed(given: str) -> IPv4Network | None:
    # ip_network() would take a bare address or number too.
    try:
        network = ip_network(given) if "/" in given else None
    except (AddressValueError, NetmaskValueError, ValueError):
        return None
    return network if isinstance(network, IPv4Network) else None
