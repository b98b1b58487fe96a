"""Facts of the GPUs that the fleet trains on: memory, peak rate and compute capability, by the name that the driver gives."""

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Gpu(BaseModel):
    """One kind of GPU, as its vendor sells it.

    ``pattern`` is a regular expression over the whole normalised name (see :func:`normalized`). ``peak_tflops`` counts dense
    matrix products, 10^12 FLOP/s, in ``peak_precision`` with fp32 accumulation: bf16, or fp16 on cards that have no bf16.
    ``memory_gib`` is the nominal size; the driver reports a little less.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    pattern: str
    memory_gib: int = Field(gt=0)
    peak_tflops: float = Field(gt=0)
    peak_precision: Literal["bf16", "fp16"] = "bf16"
    compute_capability: tuple[int, int]
    source: str


def _gpu(name: str, pattern: str, memory_gib: int, peak_tflops: float, compute_capability: tuple[int, int], source: str) -> Gpu:
    precision: Literal["bf16", "fp16"] = "bf16" if compute_capability >= (8, 0) else "fp16"
    return Gpu(
        name=name,
        pattern=pattern,
        memory_gib=memory_gib,
        peak_tflops=peak_tflops,
        peak_precision=precision,
        compute_capability=compute_capability,
        source=source,
    )


_ADA = "NVIDIA Ada GPU architecture whitepaper, appendix A"
_AMPERE = "NVIDIA GA102 GPU architecture whitepaper, appendix A"
_BLACKWELL = "NVIDIA RTX Blackwell GPU architecture whitepaper, appendix A"

# Vendors print the rate with 2:4 sparsity for Hopper and Blackwell; half of it, the dense rate, stands here.
GPUS: tuple[Gpu, ...] = (
    _gpu("GB200", r"gb200( .*)?", 186, 2500, (10, 0), "NVIDIA GB200 NVL72 data sheet: 360 PFLOPS sparse over 72 GPUs"),
    _gpu("B300", r"b300( sxm6.*)?", 288, 2250, (10, 3), "NVIDIA HGX B300 data sheet: 36 PFLOPS sparse over 8 GPUs"),
    _gpu("B200", r"b200", 180, 2250, (10, 0), "NVIDIA HGX B200 data sheet: 36 PFLOPS sparse over 8 GPUs"),
    _gpu("GH200", r"gh200( 480gb)?", 96, 989, (9, 0), "NVIDIA GH200 data sheet: 1979 TFLOPS sparse"),
    _gpu("H200 NVL", r"h200 nvl", 141, 836, (9, 0), "NVIDIA H200 data sheet: 1671 TFLOPS sparse"),
    _gpu("H200", r"h200( 141gb)?", 141, 989, (9, 0), "NVIDIA H200 data sheet: 1979 TFLOPS sparse"),
    _gpu("H100 NVL", r"h100 nvl", 94, 836, (9, 0), "NVIDIA H100 data sheet: 1671 TFLOPS sparse"),
    _gpu("H100 PCIe", r"h100 pcie", 80, 756, (9, 0), "NVIDIA H100 PCIe product brief: 1513 TFLOPS sparse"),
    _gpu("H100 SXM", r"h100( sxm5?| mega)?( 80gb( hbm3)?)?", 80, 989, (9, 0), "NVIDIA H100 data sheet: 1979 TFLOPS sparse"),
    _gpu("A100 80GB", r"a100 ((sxm4|pcie) )?80gb( pcie)?", 80, 312, (8, 0), "NVIDIA A100 data sheet"),
    _gpu("A100 40GB", r"(tesla )?a100( (sxm4|pcie))?( 40gb)?", 40, 312, (8, 0), "NVIDIA A100 data sheet"),
    _gpu("A30", r"a30", 24, 165, (8, 0), "NVIDIA A30 data sheet"),
    _gpu("L40S", r"l40s", 48, 362, (8, 9), "NVIDIA L40S data sheet"),
    _gpu("L40", r"l40", 48, 181, (8, 9), "NVIDIA L40 data sheet"),
    _gpu("L4", r"l4", 24, 121, (8, 9), "NVIDIA L4 data sheet: 242 TFLOPS sparse"),
    _gpu("A40", r"a40", 48, 150, (8, 6), "NVIDIA A40 data sheet"),
    _gpu("A10G", r"a10g", 24, 70, (8, 6), "NVIDIA A10G data sheet for AWS G5"),
    _gpu("A10", r"a10", 24, 125, (8, 6), "NVIDIA A10 data sheet"),
    _gpu("T4", r"(tesla )?t4", 16, 65, (7, 5), "NVIDIA T4 data sheet"),
    _gpu("V100 PCIe 32GB", r"(tesla )?v100 pcie 32gb", 32, 112, (7, 0), "NVIDIA V100 data sheet"),
    _gpu("V100 PCIe 16GB", r"(tesla )?v100 pcie 16gb", 16, 112, (7, 0), "NVIDIA V100 data sheet"),
    _gpu("V100 SXM 32GB", r"(tesla )?v100 sxm[23] 32gb", 32, 125, (7, 0), "NVIDIA V100 data sheet"),
    _gpu("V100 SXM 16GB", r"(tesla )?v100( sxm2( 16gb)?)?", 16, 125, (7, 0), "NVIDIA V100 data sheet"),
    _gpu("RTX 6000 Ada", r"(quadro )?rtx 6000 ada( generation)?", 48, 364, (8, 9), "NVIDIA RTX 6000 Ada data sheet"),
    _gpu("RTX A6000", r"rtx a6000", 48, 155, (8, 6), _AMPERE),
    _gpu("RTX 5090", r"(geforce )?rtx 5090", 32, 209.5, (12, 0), _BLACKWELL),
    _gpu("RTX 4090", r"(geforce )?rtx 4090", 24, 165.2, (8, 9), _ADA),
    _gpu("RTX 4080", r"(geforce )?rtx 4080", 16, 97.5, (8, 9), _ADA),
    _gpu("RTX 3090 Ti", r"(geforce )?rtx 3090 ti", 24, 80, (8, 6), _AMPERE),
    _gpu("RTX 3090", r"(geforce )?rtx 3090", 24, 71, (8, 6), _AMPERE),
    _gpu("RTX 3080", r"(geforce )?rtx 3080", 10, 59.5, (8, 6), _AMPERE),
)


def normalized(device_name: str) -> str:
    """The lower-case name without the vendor, words divided by one space.

    The driver's ``NVIDIA A100-SXM4-80GB``, the node label ``NVIDIA-A100-SXM4-80GB`` and GKE's ``nvidia-a100-80gb`` meet here.
    """
    return " ".join(re.sub(r"[-_\s]+", " ", device_name).lower().split()).removeprefix("nvidia ")


def find_gpu(device_name: str) -> Gpu | None:
    """The facts of a GPU by the name that the driver, a node label or GKE gives it; None where it is not in the table.

    Slices (MIG), virtual GPUs and laptop parts carry a full card's name and do less work: they are not found.
    """
    name = normalized(device_name)
    for gpu in GPUS:
        if re.fullmatch(gpu.pattern, name):
            return gpu
    return None


def peak_flops(device_name: str) -> float | None:
    """Peak rate of dense bf16 (fp16 where there is no bf16) matrix products in FLOP/s; None for a GPU that is not in the table."""
    gpu = find_gpu(device_name)
    return None if gpu is None else gpu.peak_tflops * 1e12
