"""Losses of image models: one number per row, from prediction and target of shape (rows, channels, height, width) in fp32."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from trainer.registry import Registry

Loss = Callable[[Tensor, Tensor], Tensor]

LOSSES: Registry[Loss] = Registry("losses", {"mse": "trainer.losses:mse", "huber": "trainer.losses:huber"})


def mse(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of each row."""
    return functional.mse_loss(prediction, target, reduction="none").mean(dim=(1, 2, 3))


def huber(prediction: Tensor, target: Tensor) -> Tensor:
    """Huber loss (delta 0.1) of each row: less moved by outliers."""
    return functional.huber_loss(prediction, target, reduction="none", delta=0.1).mean(dim=(1, 2, 3))
