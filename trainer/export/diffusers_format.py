"""diffusers' own format: ``unet.PATH.lora_A.weight``, ``text_encoder.text_model.….lora_B.weight``, in peft's names.

The format has no place for alpha but a header entry that only diffusers from 0.34 on reads; every other reader takes alpha = rank. So
the scale is multiplied into ``lora_B``: the file has the trained strength in all of them, DoRA included.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from trainer.export import safetensors_file
from trainer.export.names import standard_path
from trainer.families.base import Export
from trainer.lora import LoraLayer


def write(layers: Sequence[LoraLayer], family: str, export: Export) -> list[Path]:
    """Write ``NAME.safetensors``; the names are the same for every ``family``.

    Raises:
        OSError: the disk refused.
    """
    tensors = diffusers_tensors(layers, export.dtype)
    metadata = {"format": "pt", "lorafleet_family": family, **export.metadata}
    return [safetensors_file.write(export.directory / f"{export.name}.safetensors", tensors, metadata)]


def diffusers_tensors(layers: Sequence[LoraLayer], dtype: torch.dtype) -> dict[str, Tensor]:
    """The file's tensors on the CPU."""
    tensors: dict[str, Tensor] = {}
    for layer in layers:
        name = f"{layer.component}.{standard_path(layer)}"
        tensors[f"{name}.lora_A.weight"] = layer.down.to("cpu", dtype).contiguous()
        tensors[f"{name}.lora_B.weight"] = (layer.up.to("cpu", torch.float32) * layer.scale).to(dtype).contiguous()
        if layer.magnitude is not None:
            # peft writes this without ".weight" and reads both; transformers 5 reads only this, and else keeps a fresh magnitude.
            tensors[f"{name}.lora_magnitude_vector.weight"] = layer.magnitude.to("cpu", dtype).contiguous()
    return tensors
