"""Which device and precision a run uses."""

import os
from contextlib import nullcontext
from typing import Any

import torch

from lorafleet.contracts.problems import ConfigError, UnavailableError
from lorafleet.contracts.training import TrainingConfig
from trainer.families.base import Placement

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose(config: TrainingConfig) -> Placement:
    """The placement that the configuration and this machine lead to; also sets the process's TF32 switches.

    Raises:
        ConfigError: ``device`` is no device.
        UnavailableError: the device is not on this machine.
    """
    device = _device(config.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.backends.cuda.matmul.allow_tf32 = config.tf32
        torch.backends.cudnn.allow_tf32 = config.tf32
    if config.precision != "auto":
        return Placement(device, DTYPES[config.precision])
    if device.type == "cuda":
        return Placement(device, torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16)
    return Placement(device, torch.float32)


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device: '{name}' is no device", hint="use auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise UnavailableError(f"device: {name} was asked for, but torch sees no GPU", hint="run 'lorafleet doctor' to see why")
        index = device.index if device.index is not None else int(os.environ.get("LOCAL_RANK", "0"))
        if index >= torch.cuda.device_count():
            raise UnavailableError(f"device: there is no cuda:{index}; this machine has {torch.cuda.device_count()} GPUs")
        return torch.device("cuda", index)
    return device


def autocast(placement: Placement) -> Any:
    """The context in which forward passes run."""
    if not placement.autocast:
        return nullcontext()
    return torch.autocast(placement.device.type, dtype=placement.compute)
