"""What a site costs beside its GPU machines: list prices of the services that the programs make, with date and source.

As in :mod:`lorafleet.contracts.prices`: for estimates, never a bill. A service that is not here has no known price.
"""

from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

HOURS_PER_MONTH = 730
"""What the clouds' own calculators count."""

Unit = Literal["hour", "month", "GiB-month", "GiB"]


class Rate(BaseModel):
    """One service in one region. ``service`` is a name of this table, or ``machine/<type>`` of a machine without GPU.

    ``region`` is ``*`` where the cloud asks the same everywhere. ``as_of`` is None where the source bears no date. ``derived``
    says that the figure was computed from what the source names.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    cloud: Literal["aws", "gcp", "azure"]
    region: str
    service: str
    usd: float = Field(gt=0)
    unit: Unit
    as_of: date | None
    derived: bool = False
    source: str


def _rate(
    place: str, service: str, usd: float, unit: Unit, source: str, as_of: date | None = None, *, derived: bool = False
) -> Rate:
    cloud, region = place.split("/")
    return Rate.model_validate(
        {
            "cloud": cloud,
            "region": region,
            "service": service,
            "usd": usd,
            "unit": unit,
            "source": source,
            "as_of": as_of,
            "derived": derived,
        }
    )


_SKYPILOT = "SkyPilot catalog v8"
_FIXTURE = "price list rows of eu-central-1 in a public repository's tests"

RATES: tuple[Rate, ...] = (
    _rate("aws/eu-central-1", "machine/m7i.large", 0.12075, "hour", f"half of m7i.xlarge in {_SKYPILOT}", derived=True),
    _rate("aws/eu-central-1", "machine/m7i.xlarge", 0.2415, "hour", _SKYPILOT),
    _rate("aws/*", "control plane", 0.10, "hour", "EKS price page, standard support", date(2026, 1, 1)),
    _rate("aws/eu-central-1", "NAT gateway", 0.052, "hour", _FIXTURE),
    _rate("aws/*", "public IPv4 address", 0.005, "hour", "cloudburn.io, AWS NAT gateway pricing", date(2026, 2, 24)),
    _rate("aws/eu-central-1", "gp3 disk", 0.0952, "GiB-month", _FIXTURE),
    _rate("aws/*", "key", 1.0, "month", "KMS price page"),
    _rate("aws/eu-central-1", "objects", 0.0245, "GiB-month", _FIXTURE),
    _rate("aws/*", "images", 0.10, "GiB-month", "ECR price page", date(2025, 10, 1)),
    _rate(
        "gcp/us-west1", "machine/e2-standard-4", 0.134, "hour", "cloudpilot-ai/karpenter-provider-gcp price table", date(2026, 8, 3)
    ),
    _rate("gcp/*", "control plane", 0.10, "hour", "GKE price page"),
    _rate("gcp/*", "NAT per machine", 0.0014, "hour", "Google's price calculator, for 32 machines at most", derived=True),
    _rate("gcp/us-west1", "objects", 0.020, "GiB-month", "Cloud Storage price page"),
    _rate("azure/westeurope", "machine/Standard_D2s_v5", 0.115, "hour", "karpenter-provider-azure price table", date(2026, 6, 18)),
    _rate("azure/westeurope", "machine/Standard_D4s_v5", 0.230, "hour", "karpenter-provider-azure price table", date(2026, 6, 18)),
    _rate("azure/*", "control plane", 0.10, "hour", "techmarmot.com, AKS pricing tiers: Standard"),
    _rate("azure/*", "registry", 49.99, "month", "Infracost's estimate of a Premium registry", date(2025, 10, 2)),
)


def find_rate(cloud: str, region: str, service: str) -> Rate | None:
    """The price of a service in a region; None where it is not in the table."""
    for rate in RATES:
        if (rate.cloud, rate.service) == (cloud, service) and rate.region in (region, "*"):
            return rate
    return None
