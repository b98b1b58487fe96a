"""Which versions work together: torch, its CUDA runtime, the driver, the GPU's generation and the model libraries."""

import re
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str


class TorchRow(_Row):
    """The CUDA runtimes that torch publishes wheels for; ``pypi`` is the one on PyPI."""

    torch: str
    runtimes: tuple[str, ...]
    pypi: str


class RuntimeRow(_Row):
    """What a CUDA runtime, as torch builds it, needs: the oldest Linux driver and the oldest compute capability."""

    runtime: str
    driver: str
    compute_capability: str


class PackageRow(_Row):
    """The versions of a package that the trainer runs with: ``at_least <= version < below``."""

    package: str
    at_least: str
    below: str


class Mismatch(BaseModel):
    """One version that leaves the table. ``name`` is a key of the versions that were checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    found: str
    needs: str
    hint: str
    source: str

    def __str__(self) -> str:
        return f"{self.name} {self.found} does not fit: {self.needs} ({self.hint})"


_MATRIX = "https://github.com/pytorch/pytorch"
_DRIVERS = "https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html"

TORCH: tuple[TorchRow, ...] = (
    TorchRow(torch="2.9", runtimes=("12.6", "12.8", "13.0"), pypi="12.8", source=f"{_MATRIX}/pull/164471"),
    TorchRow(torch="2.10", runtimes=("12.6", "12.8", "13.0"), pypi="12.8", source=f"{_MATRIX}/pull/175253"),
    TorchRow(torch="2.11", runtimes=("12.6", "12.8", "13.0"), pypi="13.0", source=f"{_MATRIX}/issues/172663"),
    TorchRow(torch="2.12", runtimes=("12.6", "13.0", "13.2"), pypi="13.0", source=f"{_MATRIX}/issues/178665"),
    TorchRow(torch="2.13", runtimes=("12.6", "13.0", "13.2"), pypi="13.0", source=f"{_MATRIX}/pull/187075"),
    TorchRow(torch="2.14", runtimes=("12.6", "13.0", "13.2"), pypi="13.2", source=f"{_MATRIX}/issues/190355"),
    TorchRow(torch="2.15", runtimes=("13.0", "13.2"), pypi="13.2", source=f"{_MATRIX}/issues/190385"),
)

# Drivers: minor version compatibility, so that one driver branch serves a whole CUDA major. Compute capability: torch's matrix.
RUNTIMES: tuple[RuntimeRow, ...] = (
    RuntimeRow(runtime="12.6", driver="525", compute_capability="5.0", source=f"{_DRIVERS}; {_MATRIX}/pull/175253"),
    RuntimeRow(runtime="12.8", driver="525", compute_capability="7.0", source=f"{_DRIVERS}; {_MATRIX}/pull/164471"),
    RuntimeRow(runtime="13.0", driver="580", compute_capability="7.5", source=f"{_DRIVERS}; {_MATRIX}/pull/175253"),
    RuntimeRow(runtime="13.2", driver="580", compute_capability="7.5", source=f"{_DRIVERS}; {_MATRIX}/pull/182849"),
)

# The lower ends are pyproject's; the upper ends are the next minor version after the lock, which is what the tests ran with.
PACKAGES: tuple[PackageRow, ...] = (
    PackageRow(package="torch", at_least="2.9", below="2.16", source="requirements/trainer.txt; diffusers 0.42.1 asks torch>=2.6"),
    PackageRow(
        package="diffusers", at_least="0.38", below="0.43", source="requirements/trainer.txt; its own metadata asks peft>=0.17"
    ),
    PackageRow(
        package="transformers",
        at_least="5.6",
        below="5.24",
        source="requirements/trainer.txt; 5.6 took a level out of the names in CLIP's text model, diffusers issue 13833",
    ),
    PackageRow(package="peft", at_least="0.19", below="0.22", source="requirements/trainer.txt; diffusers 0.42.1 asks peft>=0.17"),
    PackageRow(
        package="accelerate",
        at_least="1.10",
        below="1.16",
        source="requirements/trainer.txt; transformers 5.23 asks accelerate>=1.1",
    ),
)


def numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: ``2.15.0+cu132`` gives (2, 15, 0). Empty where it does not start with one."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found.group().split(".")) if found else ()


def check(versions: Mapping[str, str]) -> list[Mismatch]:
    """Every version that leaves the table; an empty list where all fit.

    ``versions`` may hold the packages' names, ``cuda`` (the runtime that torch was built with), ``driver`` and
    ``compute_capability``. What is absent is not checked: a CPU build has no runtime, a machine without a GPU no driver.
    """
    return [*_packages(versions), *_runtime(versions), *_machine(versions)]


def _packages(versions: Mapping[str, str]) -> list[Mismatch]:
    return [
        Mismatch(
            name=row.package,
            found=versions[row.package],
            needs=f"{row.at_least} or newer, older than {row.below}",
            hint=f"pip install '{row.package}>={row.at_least},<{row.below}'",
            source=row.source,
        )
        for row in PACKAGES
        if row.package in versions and not numbers(row.at_least) <= numbers(versions[row.package]) < numbers(row.below)
    ]


def _runtime(versions: Mapping[str, str]) -> list[Mismatch]:
    if "cuda" not in versions or "torch" not in versions:
        return []
    found = numbers(versions["cuda"])[:2]
    for row in TORCH:
        if numbers(row.torch) == numbers(versions["torch"])[:2] and found not in map(numbers, row.runtimes):
            return [
                Mismatch(
                    name="cuda",
                    found=versions["cuda"],
                    needs=f"torch {row.torch} is published for CUDA {', '.join(row.runtimes)}",
                    hint=f"install torch for CUDA {row.pypi}, the one on PyPI",
                    source=row.source,
                )
            ]
    return []


def _machine(versions: Mapping[str, str]) -> list[Mismatch]:
    runtime = next((row for row in RUNTIMES if "cuda" in versions and numbers(row.runtime) == numbers(versions["cuda"])[:2]), None)
    if runtime is None:
        return []
    needs = {"driver": runtime.driver, "compute_capability": runtime.compute_capability}
    hints = {
        "driver": f"update the NVIDIA driver to {runtime.driver} or newer, or install torch for an older CUDA",
        "compute_capability": "use a newer GPU, or a torch for an older CUDA",
    }
    return [
        Mismatch(
            name=name,
            found=versions[name],
            needs=f"CUDA {runtime.runtime} needs {least} or newer",
            hint=hints[name],
            source=runtime.source,
        )
        for name, least in needs.items()
        if name in versions and numbers(versions[name]) < numbers(least)
    ]
