"""The one image format that every web UI and diffusers read, and the only one that carries alpha.

For each module: ``NAME.lora_down.weight`` (rank, in[, h, w]), ``NAME.lora_up.weight`` (out, rank[, 1, 1]) and ``NAME.alpha``, a single
number; readers compute ``dW = up @ down * alpha / rank``. Source: sd-scripts ``networks/lora.py``.

DoRA adds ``NAME.dora_scale``, (out, 1[, 1, 1]): LyCORIS' shape for magnitudes of output rows (``wd_on_output``), which is how peft
trains. Readers differ there: LyCORIS gives exactly the trained weights; ComfyUI divides by the norm of the base weight alone, which
is close for a small change; diffusers drops the tensor with a warning. For DoRA in diffusers use its own format.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from trainer.export import safetensors_file
from trainer.export.kohya_metadata import kohya_metadata
from trainer.export.names import kohya_name
from trainer.families.base import Export
from trainer.lora import LoraLayer


def write(layers: Sequence[LoraLayer], family: str, export: Export) -> list[Path]:
    """Write ``NAME.safetensors`` for ``sd15`` or ``sdxl``.

    Raises:
        OSError: the disk refused.
        ValueError: the format has no name for a layer's module.
    """
    tensors = kohya_tensors(layers, family, export.dtype)
    metadata = kohya_metadata(layers, family, export.name, export.metadata)
    metadata |= safetensors_file.model_hashes(tensors, metadata)
    return [safetensors_file.write(export.directory / f"{export.name}.safetensors", tensors, metadata)]


def kohya_tensors(layers: Sequence[LoraLayer], family: str, dtype: torch.dtype) -> dict[str, Tensor]:
    """The file's tensors on the CPU: weights in ``dtype``, alpha in fp32."""
    tensors: dict[str, Tensor] = {}
    for layer in layers:
        name = kohya_name(layer, family)
        tensors[f"{name}.lora_down.weight"] = layer.down.to("cpu", dtype).contiguous()
        tensors[f"{name}.lora_up.weight"] = layer.up.to("cpu", dtype).contiguous()
        # Readers divide by the rank, whatever the scale was in training: this keeps the strength for rsLoRA too.
        tensors[f"{name}.alpha"] = torch.tensor(layer.scale * layer.rank, dtype=torch.float32)
        if layer.magnitude is not None:
            ones = [1] * (layer.up.ndim - 1)
            tensors[f"{name}.dora_scale"] = layer.magnitude.to("cpu", dtype).reshape(-1, *ones).contiguous()
    return tensors
