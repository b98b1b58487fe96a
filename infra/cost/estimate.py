"""Prices for what a site's resources count, and the sums."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from infra.cost.meter import ByUse, GpuNodes, Metering, Steady
from infra.cost.recording import Resource
from lorafleet.contracts.prices import find_price
from lorafleet.contracts.service_prices import HOURS_PER_MONTH, Rate, find_rate


@dataclass(frozen=True)
class Line:
    """One line of an estimate, in USD a month. An amount is None where it has no known price, or is by use.

    ``at_most`` says that the price is a ceiling. ``basis`` is the price and its source in words.
    """

    what: str
    idle: float | None
    peak: float | None
    basis: str
    at_most: bool = False
    by_use: bool = False


@dataclass(frozen=True)
class Estimate:
    """A site's cost. The sums leave out what has no known price, which :attr:`unknown` names, and what is by use."""

    site: str
    lines: tuple[Line, ...]

    @property
    def idle(self) -> float:
        """USD a month while no job runs."""
        return sum(line.idle or 0 for line in self.lines)

    @property
    def peak(self) -> float:
        """USD a month with every pool at its limit all the time."""
        return sum(line.peak or 0 for line in self.lines)

    @property
    def unknown(self) -> tuple[str, ...]:
        """What is paid for steadily, at a price that the table lacks."""
        return tuple(line.what for line in self.lines if line.peak is None and not line.by_use)


def estimate(site: str, cloud: str, region: str, resources: Sequence[Resource], meterings: Mapping[str, Metering]) -> Estimate:
    """Price a site's resources. ``meterings`` is by provider, the first part of a resource's type."""
    lines = [line for resource in resources for line in _lines(resource, resources, cloud, region, meterings)]
    return Estimate(site, tuple(lines))


def _lines(
    resource: Resource, resources: Sequence[Resource], cloud: str, region: str, meterings: Mapping[str, Metering]
) -> Iterator[Line]:
    provider = resource.type.partition(":")[0]
    if provider == "pulumi":
        return
    metering = meterings.get(provider)
    if metering is not None and resource.type in metering.priced:
        for meter in metering.priced[resource.type](resource, resources):
            match meter:
                case Steady():
                    yield from _steady(meter, cloud, region)
                case GpuNodes():
                    yield _gpu_nodes(meter, cloud, region)
                case ByUse():
                    yield _by_use(meter, cloud, region)
    elif metering is None or not (metering.rest_is_free or resource.type in metering.free):
        yield Line(f"{resource.type} {resource.name}", None, None, "nobody has said what this costs")


def _steady(meter: Steady, cloud: str, region: str) -> Iterator[Line]:
    if meter.peak == 0:
        return
    rate = find_rate(cloud, region, meter.service)
    if rate is None:
        yield Line(meter.what, None, None, f"no price known of {meter.service} in {region}")
        return
    hours = HOURS_PER_MONTH if rate.unit == "hour" else 1
    yield Line(
        meter.what, meter.idle * rate.usd * hours, meter.peak * rate.usd * hours, _counted(meter.idle, meter.peak, _words(rate))
    )


def _gpu_nodes(meter: GpuNodes, cloud: str, region: str) -> Line:
    price = find_price(cloud, region, meter.machine)
    if price is None or meter.capacity == "capacity-block":
        why = "a capacity block is paid in advance" if price is not None else f"no price known of {meter.machine} in {region}"
        return Line(meter.what, None, None, why)
    source = _dated(price.source, price.as_of)
    spot = meter.capacity == "spot" and price.spot_high is not None
    usd = price.spot_high if spot and price.spot_high is not None else price.on_demand
    # A reservation is paid for whether its machines run or not.
    least = meter.most if meter.capacity == "reserved" else 0
    ceiling = meter.capacity in ("spot", "flex-start") and not spot
    kind = f"on demand, no {meter.capacity} price known" if ceiling else meter.capacity
    return Line(
        meter.what,
        least * usd * HOURS_PER_MONTH,
        meter.most * usd * HOURS_PER_MONTH,
        _counted(least, meter.most, f"${usd:g}/hour, {kind} ({source})"),
        at_most=ceiling,
    )


def _by_use(meter: ByUse, cloud: str, region: str) -> Line:
    rate = find_rate(cloud, region, meter.service)
    price = f": {_words(rate)}" if rate is not None else f"; no price known of {meter.service} in {region}"
    return Line(meter.what, None, None, f"by use{price}", by_use=True)


def _words(rate: Rate) -> str:
    return f"${rate.usd:g}/{rate.unit} ({_dated(rate.source, rate.as_of)})"


def _dated(source: str, as_of: object) -> str:
    return f"{source}, {as_of}" if as_of is not None else f"{source}, undated"


def _counted(idle: float, peak: float, price: str) -> str:
    return f"{peak:g} × {price}" if idle == peak else f"{idle:g} to {peak:g} × {price}"


def as_json(found: Estimate) -> dict[str, object]:
    """For machines."""
    return {
        "site": found.site,
        "currency": "USD",
        "per": "month",
        "idle": round(found.idle, 2),
        "peak": round(found.peak, 2),
        "unknown": list(found.unknown),
        "lines": [
            {
                "what": line.what,
                "idle": _rounded(line.idle),
                "peak": _rounded(line.peak),
                "atMost": line.at_most,
                "byUse": line.by_use,
                "basis": line.basis,
            }
            for line in found.lines
        ],
    }


def _rounded(usd: float | None) -> float | None:
    return None if usd is None else round(usd, 2)


def rows(found: Estimate) -> Iterable[tuple[str, str, str, str]]:
    """What a person reads: what, idle, peak, basis."""
    for line in sorted(found.lines, key=lambda each: (each.by_use, each.peak is None, -(each.peak or 0))):
        if line.by_use:
            yield line.what, "", "", line.basis
        else:
            yield line.what, _usd(line.idle), _usd(line.peak, at_most=line.at_most), line.basis


def _usd(usd: float | None, *, at_most: bool = False) -> str:
    if usd is None:
        return "unknown"
    return f"{'≤ ' if at_most else ''}{usd:,.2f}"
