"""Text conditioning of the UNet: what SD 1.5 and SDXL make of token ids."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn


class Conditioner(Protocol):
    """``encode`` maps one (rows, tokens) id tensor per text encoder to the UNet's inputs: ``hidden`` and, for SDXL, ``pooled``."""

    resolution: int
    sizes: bool

    def encode(self, encoders: Sequence[nn.Module], ids: Sequence[Tensor]) -> dict[str, Tensor]:
        """Text as the UNet takes it."""
        ...


class SD15Conditioner:
    """The last hidden state of CLIP-L."""

    resolution = 512
    sizes = False

    def encode(self, encoders: Sequence[nn.Module], ids: Sequence[Tensor]) -> dict[str, Tensor]:
        """See :class:`Conditioner`."""
        return {"hidden": encoders[0](ids[0])[0]}


class SDXLConditioner:
    """The last hidden states but one of both encoders side by side, and the pooled projection of the second."""

    resolution = 1024
    sizes = True

    def encode(self, encoders: Sequence[nn.Module], ids: Sequence[Tensor]) -> dict[str, Tensor]:
        """See :class:`Conditioner`."""
        outputs = [encoder(part, output_hidden_states=True) for encoder, part in zip(encoders, ids, strict=True)]
        hidden = torch.cat([output.hidden_states[-2] for output in outputs], dim=-1)
        return {"hidden": hidden, "pooled": outputs[1][0]}


def token_ids(tokenizers: Sequence[Any], caption: str) -> list[Tensor]:
    """One row of ids per tokenizer, padded or cut to its full length."""
    return [
        tokenizer(
            caption, padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt"
        ).input_ids[0]
        for tokenizer in tokenizers
    ]
