import re

import pytest

from lorafleet.contracts.gpus import GPUS, find_gpu, normalized, peak_flops

KNOWN = [
    ("NVIDIA B200", "B200", 2250),
    ("NVIDIA H200", "H200", 989),
    ("NVIDIA H100 80GB HBM3", "H100 SXM", 989),
    ("NVIDIA H100 PCIe", "H100 PCIe", 756),
    ("NVIDIA H100 NVL", "H100 NVL", 836),
    ("NVIDIA A100-SXM4-40GB", "A100 40GB", 312),
    ("NVIDIA A100-SXM4-80GB", "A100 80GB", 312),
    ("NVIDIA A100 80GB PCIe", "A100 80GB", 312),
    ("NVIDIA A100-PCIE-40GB", "A100 40GB", 312),
    ("NVIDIA L4", "L4", 121),
    ("NVIDIA L40S", "L40S", 362),
    ("NVIDIA A10G", "A10G", 70),
    ("Tesla T4", "T4", 65),
    ("Tesla V100-SXM2-16GB", "V100 SXM 16GB", 125),
    ("Tesla V100-PCIE-32GB", "V100 PCIe 32GB", 112),
    ("NVIDIA GeForce RTX 4090", "RTX 4090", 165.2),
    ("NVIDIA GeForce RTX 3090", "RTX 3090", 71),
    ("NVIDIA-H100-80GB-HBM3", "H100 SXM", 989),
    ("nvidia-h100-80gb", "H100 SXM", 989),
    ("nvidia-h100-mega-80gb", "H100 SXM", 989),
    ("nvidia-h200-141gb", "H200", 989),
    ("nvidia-tesla-a100", "A100 40GB", 312),
    ("nvidia-a100-80gb", "A100 80GB", 312),
    ("nvidia-tesla-t4", "T4", 65),
    ("nvidia-l4", "L4", 121),
]


@pytest.mark.parametrize(("device_name", "name", "tflops"), KNOWN)
def test_names_that_drivers_and_labels_give(device_name: str, name: str, tflops: float) -> None:
    gpu = find_gpu(device_name)
    assert gpu is not None
    assert gpu.name == name
    assert peak_flops(device_name) == tflops * 1e12


@pytest.mark.parametrize(
    "device_name",
    [
        "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
        "GRID A100-4C",
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 4090 D",
        "AMD Instinct MI300X",
        "",
    ],
)
def test_what_does_less_than_a_card_or_is_unknown_is_not_found(device_name: str) -> None:
    assert find_gpu(device_name) is None
    assert peak_flops(device_name) is None


def test_no_name_fits_two_rows_and_none_stands_twice() -> None:
    for device_name in [*(known[0] for known in KNOWN), *(gpu.name for gpu in GPUS)]:
        assert len([gpu for gpu in GPUS if re.fullmatch(gpu.pattern, normalized(device_name))]) <= 1, device_name
    assert len({gpu.name for gpu in GPUS}) == len(GPUS)


def test_only_cards_before_ampere_are_rated_in_fp16() -> None:
    assert {gpu.name for gpu in GPUS if gpu.peak_precision == "fp16"} == {
        gpu.name for gpu in GPUS if gpu.name.startswith(("T4", "V100"))
    }
