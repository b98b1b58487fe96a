"""Optimizers by name."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from lorafleet.contracts.problems import ConfigError
from lorafleet.contracts.training import TrainingConfig
from trainer.registry import Registry

ParameterGroups = Sequence[dict[str, Any]]
OptimizerFactory = Callable[[ParameterGroups, TrainingConfig], torch.optim.Optimizer]

OPTIMIZERS: Registry[OptimizerFactory] = Registry(
    "optimizers",
    {
        "adamw": "trainer.optimizers:adamw",
        "adafactor": "trainer.optimizers:adafactor",
        "sgd": "trainer.optimizers:sgd",
    },
)


def build(parameters: dict[str, nn.Parameter], config: TrainingConfig) -> torch.optim.Optimizer:
    """The configured optimizer; text encoders have their own learning rate.

    Raises:
        ConfigError: it is unknown or refuses ``optimizer_args``.
    """
    rates: dict[float, list[nn.Parameter]] = {}
    for name, parameter in parameters.items():
        of_text = name.startswith("text_encoder")
        rate = config.text_encoder_learning_rate if of_text and config.text_encoder_learning_rate else config.learning_rate
        rates.setdefault(rate, []).append(parameter)
    groups = [{"params": members, "lr": rate, "peak_lr": rate} for rate, members in rates.items()]
    factory = OPTIMIZERS.get(config.optimizer)
    try:
        return factory(groups, config)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"optimizer_args: {config.optimizer} refuses them: {error}", hint="see the optimizer's own arguments"
        ) from None


def adamw(groups: ParameterGroups, config: TrainingConfig) -> torch.optim.Optimizer:
    """AdamW in its fused form."""
    return torch.optim.AdamW(
        groups, lr=config.learning_rate, **{"weight_decay": config.weight_decay, "fused": True, **config.optimizer_args}
    )


def adafactor(groups: ParameterGroups, config: TrainingConfig) -> torch.optim.Optimizer:
    """Adafactor with torch's defaults."""
    return torch.optim.Adafactor(groups, lr=config.learning_rate, **{"weight_decay": config.weight_decay, **config.optimizer_args})


def sgd(groups: ParameterGroups, config: TrainingConfig) -> torch.optim.Optimizer:
    """SGD, for comparisons."""
    arguments = {"weight_decay": config.weight_decay, **config.optimizer_args}
    if groups[0]["params"][0].device.type in ("cpu", "cuda"):
        arguments.setdefault("fused", True)
    return torch.optim.SGD(groups, lr=config.learning_rate, **arguments)
