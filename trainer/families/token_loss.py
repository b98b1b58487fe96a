"""The loss of a language model's target tokens, without its logits ever being in memory as a whole."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

IGNORED = -100
"""The label of a token that is not learned; the number that every library of the field uses."""

# Logits that are in memory at once: 64 Mi numbers, 256 MiB in fp32.
_CHUNK_ELEMENTS = 1 << 26


def target_positions(labels: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Where the predictions of target tokens stand in a flattened batch, and the tokens that are right there.

    ``labels`` is (rows, length) with the token itself at each target and :data:`IGNORED` elsewhere; the prediction of a token stands one
    position before it, so a row's first label never counts. ``count`` is the number of targets, which the CPU knows: no device is
    waited for. Both results are (count,).
    """
    following = functional.pad(labels[:, 1:], (0, 1), value=IGNORED).flatten()
    positions = torch.nonzero_static(following != IGNORED, size=count).squeeze(1)
    return positions, following.index_select(0, positions)


def linear_cross_entropy(hidden: Tensor, head: nn.Linear, targets: Tensor) -> Tensor:
    """The sum over rows of the cross entropy of ``head(hidden)``, as an fp32 scalar; ``head`` is frozen.

    ``hidden`` is (rows, channels), ``targets`` (rows,). Equal to ``cross_entropy(head(hidden).float(), targets, reduction="sum")``, but
    the logits exist one chunk of rows at a time: as the head is frozen, the gradient of ``hidden`` is known as soon as a chunk's logits
    are, so nothing is kept or computed again for the backward pass.
    """
    loss: Tensor = _LinearCrossEntropy.apply(
        hidden, head.weight.detach(), None if head.bias is None else head.bias.detach(), targets
    )
    return loss


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
        needs_gradient = ctx.needs_input_grad[0]
        gradient = torch.empty_like(hidden) if needs_gradient else None
        loss = torch.zeros((), dtype=torch.float32, device=hidden.device)
        rows = max(1, _CHUNK_ELEMENTS // weight.shape[0])
        with torch.autocast(hidden.device.type, enabled=False):
            for start in range(0, len(hidden), rows):
                part = slice(start, start + rows)
                wanted = targets[part].unsqueeze(1)
                logits = functional.linear(hidden[part].to(weight.dtype), weight, bias)
                log_probabilities = functional.log_softmax(logits, dim=1, dtype=torch.float32)
                loss -= log_probabilities.gather(1, wanted).sum()
                if gradient is not None:
                    # The gradient of cross entropy for its logits: the probabilities, less one at the target.
                    error = log_probabilities.exp_()
                    error.scatter_add_(1, wanted, error.new_full(wanted.shape, -1.0))
                    gradient[part] = error.to(weight.dtype) @ weight
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, loss_gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * loss_gradient.to(gradient.dtype), None, None, None
