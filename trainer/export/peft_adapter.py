"""A PEFT adapter: a folder that ``PeftModel.from_pretrained`` and vLLM's ``--lora-modules`` load."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig
from torch import Tensor

from lorafleet.whole_files import sync
from trainer.export import safetensors_file
from trainer.families.base import Export
from trainer.lora import LoraLayer

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"

# The values of vLLM's ``--max-lora-rank`` (vllm/config/lora.py, MaxLoRARanks).
VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)


@dataclass(frozen=True)
class AdapterFacts:
    """What the adapter's config says besides the layers' own values.

    ``base_name`` must mean something on other machines: a model's name, not a path. ``target_modules`` are names or endings of names.
    """

    base_name: str
    target_modules: Sequence[str]
    dropout: float = 0.0


def write(layers: Sequence[LoraLayer], facts: AdapterFacts, export: Export) -> list[Path]:
    """Write ``<directory>/<name>/`` and return its two files.

    The folder is built under a hidden name and renamed; where there is one of that name already, each file is replaced as a whole.

    Raises:
        OSError: the disk refused; nothing half-written is left.
    """
    target = export.directory / export.name
    building = export.directory / f".{export.name}.{os.getpid()}"
    shutil.rmtree(building, ignore_errors=True)
    try:
        # "format" is what transformers' own loaders look for in the header.
        metadata = {**export.metadata, "format": "pt"}
        safetensors_file.write(building / WEIGHTS, adapter_tensors(layers, export.dtype), metadata)
        adapter_config(layers, facts).save_pretrained(str(building))
        sync(building / CONFIG)
        if target.is_dir():
            for name in (WEIGHTS, CONFIG):
                (building / name).replace(target / name)
        else:
            building.rename(target)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return [target / WEIGHTS, target / CONFIG]


def adapter_tensors(layers: Sequence[LoraLayer], dtype: torch.dtype) -> dict[str, Tensor]:
    """The tensors under the names that PEFT gives them."""
    tensors: dict[str, Tensor] = {}
    for layer in layers:
        prefix = f"base_model.model.{layer.path}"
        tensors[f"{prefix}.lora_A.weight"] = layer.down.to(dtype).contiguous()
        tensors[f"{prefix}.lora_B.weight"] = layer.up.to(dtype).contiguous()
        if layer.magnitude is not None:
            tensors[f"{prefix}.lora_magnitude_vector"] = layer.magnitude.to(dtype).contiguous()
    return tensors


def adapter_config(layers: Sequence[LoraLayer], facts: AdapterFacts) -> LoraConfig:
    """PEFT's configuration: one rank and alpha for all layers, as vLLM ignores patterns."""
    ranks, alphas = {layer.rank for layer in layers}, {layer.alpha for layer in layers}
    if len(ranks) != 1 or len(alphas) != 1:
        raise ValueError(f"one rank and alpha are needed, found ranks {sorted(ranks)} and alphas {sorted(alphas)}")
    (alpha,) = alphas
    return LoraConfig(
        r=ranks.pop(),
        lora_alpha=int(alpha) if alpha.is_integer() else alpha,
        lora_dropout=facts.dropout,
        target_modules=list(facts.target_modules),
        use_rslora=layers[0].rslora,
        use_dora=layers[0].magnitude is not None,
        bias="none",
        task_type="CAUSAL_LM",
        base_model_name_or_path=facts.base_name,
        inference_mode=True,
    )


def serving_notes(rank: int, dora: bool) -> list[str]:
    """What a person should know who wants to serve the adapter with vLLM."""
    notes = []
    if dora:
        notes.append("dora: PEFT loads the adapter, but vLLM refuses DoRA; merge it into the base to serve it")
    if rank > VLLM_RANKS[-1]:
        notes.append(f"lora_rank: vLLM serves ranks up to {VLLM_RANKS[-1]}; merge the adapter into the base to serve it")
    elif rank not in VLLM_RANKS:
        served = min(allowed for allowed in VLLM_RANKS if allowed >= rank)
        notes.append(f"lora_rank: vLLM knows no rank {rank} and needs --max-lora-rank {served}; {served} costs it the same")
    return notes
