"""The single checks of ``lorafleet doctor``. Each looks at one thing and says what it found and how to mend it."""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import nn

from lorafleet.contracts.checkup import CheckResult, SetupCheck
from lorafleet.contracts.compatibility import PACKAGES, Mismatch
from lorafleet.contracts.compatibility import check as check_table
from lorafleet.contracts.training import TrainingConfig
from trainer.families.base import Placement
from trainer.lora import inject
from trainer.placement import DTYPES, autocast

_PYTHON = (3, 11)
_GIB = 2**30
_SCARCE_DISK = 10 * _GIB
_NO_DISK = _GIB

# Largest relative error of a 64 x 64 product; that of fp32 leaves room for TF32, which keeps 10 bits.
_TOLERANCES = {"fp32": 5e-3, "bf16": 3e-2, "fp16": 5e-3}

_INSTALL = "pip install 'lorafleet[trainer]'"


def installed_versions() -> dict[str, str]:
    """The versions of this machine, by the names of :func:`lorafleet.contracts.compatibility.check`."""
    found = {}
    for row in PACKAGES:
        try:
            found[row.package] = version(row.package)
        except PackageNotFoundError:
            continue
    if torch.version.cuda:
        found["cuda"] = torch.version.cuda
    driver = _driver_version(Path("/proc/driver/nvidia/version"))
    if driver:
        found["driver"] = driver
    if torch.cuda.is_available():
        capabilities = [torch.cuda.get_device_capability(index) for index in range(torch.cuda.device_count())]
        found["compute_capability"] = ".".join(map(str, min(capabilities)))
    return found


def _driver_version(kernel_file: Path) -> str | None:
    try:
        text = kernel_file.read_text(encoding="utf-8")
    except OSError:
        return _driver_of_tool()
    return parse_driver(text) or _driver_of_tool()


def parse_driver(text: str) -> str | None:
    """The driver's version in the kernel module's own description; None where there is none."""
    found = re.search(r"Kernel Module(?: for \S+)?\s+(\d+(?:\.\d+)+)", text)
    return found[1] if found else None


def _driver_of_tool() -> str | None:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - fixed words, no shell
            [tool, "--query-gpu=driver_version", "--format=csv,noheader"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.match(r"\d+(\.\d+)+", done.stdout)
    return found[0] if found else None


def check_python() -> SetupCheck:
    """Whether this Python is new enough."""
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < _PYTHON:
        return SetupCheck("python", CheckResult.FAIL, f"{found} is too old", f"use Python {'.'.join(map(str, _PYTHON))} or newer")
    return SetupCheck("python", CheckResult.OK, found)


def check_versions(versions: Mapping[str, str]) -> list[SetupCheck]:
    """A check for each package of the table, the CUDA runtime, the driver and the GPU's compute capability."""
    mismatches = {mismatch.name: mismatch for mismatch in check_table(versions)}
    checks = []
    for row in PACKAGES:
        if row.package in versions:
            checks.append(_version(row.package, versions[row.package], mismatches.get(row.package)))
        else:
            checks.append(SetupCheck(row.package, CheckResult.FAIL, "is not installed", _INSTALL))
    absent = {
        "cuda": "torch is a build without CUDA",
        "driver": "no NVIDIA driver found",
        "compute_capability": "no GPU to ask",
    }
    for name, detail in absent.items():
        if name in versions:
            checks.append(_version(name, versions[name], mismatches.get(name)))
        else:
            checks.append(SetupCheck(name, CheckResult.SKIP, detail))
    return checks


def _version(name: str, found: str, mismatch: Mismatch | None) -> SetupCheck:
    if mismatch is None:
        return SetupCheck(name, CheckResult.OK, found)
    return SetupCheck(name, CheckResult.FAIL, f"{found} does not fit: {mismatch.needs}; source: {mismatch.source}", mismatch.hint)


def check_gpu(device: torch.device | None, versions: Mapping[str, str], *, required: bool) -> SetupCheck:
    """The GPU of ``device`` and its memory; a missing one is a warning unless it is required. ``None``: it cannot be used."""
    if device is None or (device.type != "cuda" and required):
        return SetupCheck("gpu", CheckResult.FAIL, _why_no_gpu(versions), _gpu_hint(versions))
    if device.type != "cuda":
        return SetupCheck("gpu", CheckResult.WARN, f"{_why_no_gpu(versions)}; training on the CPU is slow", _gpu_hint(versions))
    try:
        free, total = torch.cuda.mem_get_info(device)
    except RuntimeError as error:
        return SetupCheck(
            "gpu", CheckResult.FAIL, f"the GPU does not answer: {first_line(error)}", "see the kernel log for Xid errors"
        )
    detail = f"{torch.cuda.get_device_name(device)}, {total / _GIB:.1f} GiB, {free / _GIB:.1f} GiB of it free"
    if free < total / 2:
        return SetupCheck("gpu", CheckResult.WARN, detail, "another process holds GPU memory; nvidia-smi names it")
    return SetupCheck("gpu", CheckResult.OK, detail)


def _why_no_gpu(versions: Mapping[str, str]) -> str:
    if "driver" not in versions:
        return "no GPU: this machine shows no NVIDIA driver"
    if "cuda" not in versions:
        return "no GPU: torch is a build without CUDA, though a driver is here"
    return "no GPU is in use"


def _gpu_hint(versions: Mapping[str, str]) -> str:
    if "driver" not in versions:
        return "in a container ask for the GPU: docker run --gpus all, or nvidia.com/gpu in the pod's limits"
    if "cuda" not in versions:
        return "install torch from PyPI, whose Linux build has CUDA"
    return "see the checks of cuda and driver, CUDA_VISIBLE_DEVICES and --device"


def check_precision(name: str, device: torch.device) -> SetupCheck:
    """A real matrix product in ``name`` (fp32, bf16 or fp16) on the device, compared with the same product in fp64."""
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(64, 64, dtype=torch.float64, generator=generator) for _ in range(2))
    exact = left @ right
    try:
        product = (left.to(device, DTYPES[name]) @ right.to(device, DTYPES[name])).cpu().double()
    except RuntimeError as error:
        status = CheckResult.FAIL if name == "fp32" else CheckResult.WARN
        return SetupCheck(name, status, f"a product failed: {first_line(error)}", f"train with another precision than {name}")
    error_share = float((product - exact).norm() / exact.norm())
    if not error_share <= _TOLERANCES[name]:
        return SetupCheck(
            name,
            CheckResult.FAIL,
            f"a product is wrong by {error_share:.1%}",
            "the device computes wrongly; take it out of service",
        )
    if name == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return SetupCheck(name, CheckResult.WARN, "only emulated on this GPU, and slow", "precision auto takes fp16 here")
    return SetupCheck(name, CheckResult.OK, f"a product on {device} is right")


def check_step(config: TrainingConfig, placement: Placement) -> SetupCheck:
    """One real step of a tiny LoRA: forward, backward, optimizer; the loss must be finite and the weights must change."""
    try:
        loss, changed = _tiny_step(config, placement)
    except RuntimeError as error:
        return SetupCheck(
            "step", CheckResult.FAIL, f"a tiny training step failed: {first_line(error)}", "torch does not fit this device"
        )
    if not loss.isfinite():
        return SetupCheck("step", CheckResult.FAIL, f"the loss of a tiny step is {loss.item()}", "the device computes wrongly")
    if not changed:
        return SetupCheck(
            "step", CheckResult.FAIL, "a tiny step left the weights as they were", "torch and peft do not fit together"
        )
    return SetupCheck("step", CheckResult.OK, f"a tiny LoRA step on {placement.device} changed the weights, loss {loss.item():.3f}")


def _tiny_step(config: TrainingConfig, placement: Placement) -> tuple[torch.Tensor, bool]:
    # The global generator belongs to the caller; the tiny model and peft draw from a fork of it.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))
        rows, targets = torch.randn(8, 16), torch.randn(8, 16)
        parameters = inject("doctor", model, config, ["0", "2"])
    model.to(placement.device)
    before = [parameter.detach().clone() for parameter in parameters]
    optimizer = torch.optim.AdamW(parameters, lr=1e-2, weight_decay=0.0)
    with autocast(placement):
        predicted = model(rows.to(placement.device))
    loss = nn.functional.mse_loss(predicted.float(), targets.to(placement.device))
    torch.autograd.backward(loss)
    optimizer.step()
    finite = all(bool(parameter.isfinite().all()) for parameter in parameters)
    return loss.detach(), finite and any(not torch.equal(old, new) for old, new in zip(before, parameters, strict=True))


def check_disk(folder: Path) -> SetupCheck:
    """Free space where the run would write."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return SetupCheck("disk", CheckResult.FAIL, f"{folder}: {error.strerror}", "start from a folder that is there")
    detail = f"{free / _GIB:.1f} GiB free in {folder}"
    hint = "weights, checkpoints and caches take some GiB; free space or choose another output_dir"
    if free < _SCARCE_DISK:
        return SetupCheck("disk", CheckResult.FAIL if free < _NO_DISK else CheckResult.WARN, detail, hint)
    return SetupCheck("disk", CheckResult.OK, detail)


def check_temporary_folder() -> SetupCheck:
    """Whether temporary files can be written."""
    try:
        with tempfile.TemporaryFile() as file:
            file.write(bytes(_GIB >> 10))
            file.flush()
        return SetupCheck("temporary folder", CheckResult.OK, f"{tempfile.gettempdir()} can be written")
    except OSError as error:
        return SetupCheck(
            "temporary folder", CheckResult.FAIL, f"cannot be written: {error.strerror}", "set TMPDIR to a folder with free space"
        )


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return (str(error).splitlines() or [type(error).__name__])[0]
