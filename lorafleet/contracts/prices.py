"""What GPU machines cost in the regions of the example sites: list prices with their date and source.

Prices move. This table serves estimates and comparisons, never a bill; a row says how old it is.
"""

from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Price(BaseModel):
    """One machine type in one region, per hour, Linux.

    ``gpu`` is a name of :data:`lorafleet.contracts.gpus.GPUS` where the GPU stands there. Spot prices move between
    ``spot_low`` and ``spot_high``; both are None where none is known. ``as_of`` is None where the source bears no date.
    ``derived`` says that the price was computed from another region's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    cloud: Literal["aws", "gcp", "azure"]
    region: str
    machine: str
    gpu: str
    gpus: int = Field(default=1, ge=1)
    on_demand: float = Field(gt=0)
    spot_low: float | None = Field(default=None, gt=0)
    spot_high: float | None = Field(default=None, gt=0)
    currency: Literal["USD"] = "USD"
    as_of: date | None
    derived: bool = False
    source: str

    @property
    def on_demand_per_gpu(self) -> float:
        """Price of one GPU and an hour."""
        return self.on_demand / self.gpus


def _aws(machine: str, gpu: str, on_demand: float, spot: tuple[float, float] | None = None, *, derived: bool = False) -> Price:
    return Price(
        cloud="aws",
        region="eu-central-1",
        machine=machine,
        gpu=gpu,
        on_demand=on_demand,
        spot_low=spot[0] if spot else None,
        spot_high=spot[1] if spot else None,
        as_of=date(2026, 7, 20) if derived else None,
        derived=derived,
        source="us-east-1 price of karpenter-provider-aws, times 1.2505" if derived else "SkyPilot catalog v8",
    )


def _aws_us_east(machine: str, gpu: str, gpus: int, on_demand: float) -> Price:
    return Price(
        cloud="aws",
        region="us-east-1",
        machine=machine,
        gpu=gpu,
        gpus=gpus,
        on_demand=on_demand,
        as_of=date(2026, 7, 20),
        source="karpenter-provider-aws price table",
    )


def _gcp(machine: str, gpu: str, on_demand: float, spot: float) -> Price:
    return Price(
        cloud="gcp",
        region="us-west1",
        machine=machine,
        gpu=gpu,
        on_demand=on_demand,
        spot_low=spot,
        spot_high=spot,
        as_of=date(2026, 8, 3),
        source="cloudpilot-ai/karpenter-provider-gcp price table",
    )


def _azure(machine: str, gpu: str, on_demand: float, region: str = "westeurope") -> Price:
    return Price(
        cloud="azure",
        region=region,
        machine=machine,
        gpu=gpu,
        on_demand=on_demand,
        as_of=date(2026, 6, 18),
        source="karpenter-provider-azure price table, which has no spot prices",
    )


PRICES: tuple[Price, ...] = (
    _aws("g6.xlarge", "L4", 1.01, derived=True),
    _aws("g6.4xlarge", "L4", 1.655, (0.552, 0.561)),
    _aws("g6.8xlarge", "L4", 2.519, (0.804, 0.824)),
    _aws("g6e.xlarge", "L40S", 2.327, (1.02, 1.49)),
    _aws("g6e.4xlarge", "L40S", 3.757, (1.39, 1.85)),
    _aws("g6e.8xlarge", "L40S", 5.663, (1.63, 2.14)),
    _aws("g5.xlarge", "A10G", 1.26, derived=True),
    _aws_us_east("p5.4xlarge", "H100 SXM", 1, 6.88),
    _aws_us_east("p5.48xlarge", "H100 SXM", 8, 55.04),
    _gcp("g2-standard-4", "L4", 0.707, 0.397),
    _gcp("g2-standard-8", "L4", 0.854, 0.480),
    _gcp("g2-standard-12", "L4", 1.000, 0.562),
    _gcp("a2-highgpu-1g", "A100 40GB", 3.673, 1.928),
    _gcp("a3-highgpu-1g", "H100 SXM", 11.06, 6.33),
    _gcp("g4-standard-48", "RTX PRO 6000", 4.50, 1.80),
    _azure("Standard_NC4as_T4_v3", "T4", 0.658),
    _azure("Standard_NV36ads_A10_v5", "A10", 4.16),
    _azure("Standard_NC24ads_A100_v4", "A100 80GB", 4.775),
    _azure("Standard_NC24ads_A100_v4", "A100 80GB", 4.408, "northeurope"),
    _azure("Standard_NC40ads_H100_v5", "H100 NVL", 9.08),
    _azure("Standard_NC40ads_H100_v5", "H100 NVL", 8.376, "northeurope"),
)


def find_price(cloud: str, region: str, machine: str) -> Price | None:
    """The price of a machine type in a region; None where it is not in the table."""
    for price in PRICES:
        if (price.cloud, price.region, price.machine) == (cloud, region, machine):
            return price
    return None


def cheapest(gpu: str, *, spot: bool = False) -> list[Price]:
    """Every offer of a GPU, cheapest GPU hour first; with ``spot`` only offers whose spot price is known, by its upper end."""
    offers = [price for price in PRICES if price.gpu == gpu and (not spot or price.spot_high is not None)]
    return sorted(offers, key=lambda price: (price.spot_high or 0) / price.gpus if spot else price.on_demand_per_gpu)
