"""What a job will take, before it is submitted: steps exactly, memory and hours roughly. Pure."""

import math
from dataclasses import dataclass

from lorafleet.contracts.console_api import Estimate, Offer
from lorafleet.contracts.gpus import GPUS, Gpu
from lorafleet.contracts.prices import PRICES, Price
from lorafleet.contracts.training import TrainingConfig

_GIB = 1024**3
# The share of a GPU's dense peak that LoRA training of these models reaches; 0.25 to 0.45 is what trainers publish.
_UTILISATION = 0.3
_START_HOURS = 0.05


@dataclass(frozen=True)
class _Family:
    """``parameters`` of all parts in units, ``flops`` of one example's forward pass at ``side`` pixels (or one token)."""

    parameters: float
    flops: float
    side: int
    activations: float


# Parameters: the published configurations (SD 1.5: UNet 860 M, text 123 M, VAE 84 M; SDXL: 2.57 G, 0.82 G, 84 M). Forward FLOPs
# of a UNet at its own resolution as thop and fvcore count them (0.8 and 6 TFLOP). Activations in bytes for one image at that side,
# without gradient checkpointing, rounded up from runs in fp16.
_FAMILIES = {
    "sd15": _Family(1.07e9, 0.8e12, 512, 3.0 * _GIB),
    "sdxl": _Family(3.5e9, 6.0e12, 1024, 9.0 * _GIB),
}
_LARGEST = "sdxl"
_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "auto": 2}


def steps(config: TrainingConfig, rows: int) -> int:
    """Optimizer steps of a run over ``rows`` examples. Buckets may add a few, since each ends with a batch that is not full."""
    seen = max(1, round(rows * (1 - config.validation_split))) * config.repeats
    each_epoch = max(1, math.ceil(math.ceil(seen / config.batch_size) / config.gradient_accumulation))
    every = each_epoch * config.epochs
    return min(every, config.max_steps) if config.max_steps else every


def memory_gib(config: TrainingConfig) -> float | None:
    """The GPU memory of a step in GiB, within a factor of two; None for language models, whose size stands in their own files."""
    if config.family == "causal_lm":
        return None
    family = _FAMILIES.get(config.family, _FAMILIES[_LARGEST])
    side = config.resolution or family.side
    activations = family.activations * (side / family.side) ** 2 * config.batch_size * _BYTES[config.precision] / 2
    if config.gradient_checkpointing is True:
        activations *= 0.3
    # fp32 weights of the LoRA, their gradient and Adam's two moments; attention alone has about 1.5 % of the parameters a rank of 8.
    lora = family.parameters * 0.0015 * config.lora_rank / 8 * 16
    return (family.parameters * _BYTES[config.precision] + activations + lora) / _GIB + 1.0


def hours(config: TrainingConfig, total: int, gpu: Gpu) -> float | None:
    """Hours on a GPU; None for language models."""
    if config.family == "causal_lm":
        return None
    family = _FAMILIES.get(config.family, _FAMILIES[_LARGEST])
    side = config.resolution or family.side
    # Backward through frozen weights costs about what forward does; recomputing adds a forward pass.
    passes = 3.0 if config.gradient_checkpointing is True else 2.0
    step = family.flops * passes * (side / family.side) ** 2 * config.batch_size * config.gradient_accumulation
    peak = gpu.peak_tflops * 1e12 * (0.5 if config.precision == "fp32" else 1.0)
    return total * step / (peak * _UTILISATION) / 3600 + _START_HOURS


def estimate(config: TrainingConfig, rows: int, most_offers: int = 8) -> Estimate:
    """Everything together; offers that fit first, then the cheapest."""
    total = steps(config, rows)
    memory = memory_gib(config)
    gpus = {gpu.name: gpu for gpu in GPUS}
    offers = [
        offer
        for price in PRICES
        if price.gpus == 1 and price.gpu in gpus and (offer := _offer(config, total, memory, price, gpus[price.gpu])) is not None
    ]
    offers.sort(key=lambda offer: (not offer.fits, offer.on_demand))
    notes = ["Hours and memory are rough, a factor of two either way; prices are list prices and never a bill."]
    if memory is None:
        notes.append("Memory and hours of a language model depend on its size, which stands in its own files.")
    elif config.family not in _FAMILIES:
        notes.append(f"The family is found out from the base when the run starts; {_LARGEST} was assumed.")
    return Estimate(
        rows=rows,
        steps=total,
        checkpoints=total // config.save_steps if config.save_steps else 1,
        memory_gib=round(memory, 1) if memory is not None else None,
        offers=tuple(offers[:most_offers]),
        notes=tuple(notes),
    )


def _offer(config: TrainingConfig, total: int, memory: float | None, price: Price, gpu: Gpu) -> Offer | None:
    length = hours(config, total, gpu)
    if length is None or memory is None:
        return None
    return Offer(
        gpu=gpu.name,
        cloud=price.cloud,
        region=price.region,
        machine=price.machine,
        hours=round(length, 2),
        on_demand=round(length * price.on_demand, 2),
        spot=round(length * price.spot_high, 2) if price.spot_high is not None else None,
        currency=price.currency,
        fits=memory <= gpu.memory_gib * 0.92,
    )
