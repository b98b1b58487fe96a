"""LoRA layers: injected by peft, held in fp32, and read out under names that do not depend on any library's version."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer as PeftLoraLayer
from torch import Tensor, nn

from lorafleet.contracts.problems import ConfigError
from lorafleet.contracts.training import TrainingConfig
from trainer.randomness import generator

ADAPTER = "default"


@dataclass(frozen=True)
class LoraLayer:
    """One adapted module: ``dW = up @ down * scale``.

    ``component`` is ``unet``, ``text_encoder``, ``text_encoder_2`` or ``model``; ``path`` is the module's path inside it as the
    library names it. ``down`` is (rank, in[, 1, 1]), ``up`` is (out, rank[, 1, 1]). ``magnitude`` is DoRA's, or None.
    ``rslora`` says that the scale is alpha / sqrt(rank) instead of alpha / rank.
    """

    component: str
    path: str
    down: Tensor
    up: Tensor
    alpha: float
    rslora: bool = False
    magnitude: Tensor | None = None

    def copied(self) -> "LoraLayer":
        """The same layer with CPU copies that training does not change."""
        magnitude = None if self.magnitude is None else self.magnitude.cpu().clone()
        return replace(self, down=self.down.cpu().clone(), up=self.up.cpu().clone(), magnitude=magnitude)

    @property
    def rank(self) -> int:
        """The inner dimension."""
        return int(self.down.shape[0])

    @property
    def scale(self) -> float:
        """The factor of ``up @ down``."""
        return self.alpha / (math.sqrt(self.rank) if self.rslora else self.rank)


def peft_config(config: TrainingConfig, target_modules: str | list[str]) -> LoraConfig:
    """peft's configuration for one component."""
    return LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.alpha,
        lora_dropout=config.lora_dropout,
        target_modules=target_modules,
        use_rslora=config.rslora,
        use_dora=config.dora,
        bias="none",
    )


def inject(component: str, module: nn.Module, config: TrainingConfig, target_modules: str | list[str]) -> list[nn.Parameter]:
    """Freeze ``module``, give it LoRA layers and return their parameters, all fp32.

    Raises:
        ConfigError: nothing in the module matches ``target_modules``.
    """
    module.requires_grad_(False)
    try:
        inject_adapter_in_model(peft_config(config, target_modules), module, adapter_name=ADAPTER)
    except ValueError as error:
        raise ConfigError(
            f"lora_targets: nothing in the {component} matches {target_modules!r}",
            hint="use 'attention', 'transformer', or endings of module names such as [to_q, to_v]",
        ) from error
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    random = generator(config.seed, "lora", component)
    for child in module.modules():
        if isinstance(child, PeftLoraLayer) and ADAPTER in child.lora_A:
            # peft's own initialization, drawn on the CPU so that every device starts from the same weights.
            weight = child.lora_A[ADAPTER].weight
            weight.data.copy_(nn.init.kaiming_uniform_(torch.empty(weight.shape), a=math.sqrt(5), generator=random))
    for parameter in parameters:
        # A LoRA held in bf16 loses most updates: 0.5 + 1e-3 is 0.5 there. Autocast lowers the precision of the products only.
        parameter.data = parameter.data.to(torch.float32)
    return parameters


def layers(component: str, module: nn.Module) -> Iterator[LoraLayer]:
    """The LoRA layers of a module, in the module's order; tensors are detached views, not copies."""
    for path, child in module.named_modules():
        if not isinstance(child, PeftLoraLayer) or ADAPTER not in child.lora_A:
            continue
        magnitudes = child.lora_magnitude_vector
        yield LoraLayer(
            component=component,
            path=path,
            down=child.lora_A[ADAPTER].weight.detach(),
            up=child.lora_B[ADAPTER].weight.detach(),
            alpha=float(child.lora_alpha[ADAPTER]),
            rslora=bool(child.use_rslora[ADAPTER]) if hasattr(child, "use_rslora") else False,
            magnitude=magnitudes[ADAPTER].weight.detach() if ADAPTER in magnitudes else None,
        )


def parameters(adapted: Mapping[str, nn.Module]) -> dict[str, nn.Parameter]:
    """The trainable parameters of all components by ``component.path``, in a fixed order."""
    return {
        f"{component}.{name}": parameter
        for component, module in adapted.items()
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }
