"""Stable Diffusion 1.5 and SDXL with few random weights, in the original single-file format with a config folder.

The topology is the real one (blocks, layers, attention), so that key maps and loaders meet what they meet in real files; only the
channels are few.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from trainer.families.clip_vocabulary import MAX_TOKENS, vocabulary, write_tokenizer
from trainer.families.detect import read_json
from trainer.families.image_base import packaged_config
from trainer.families.ldm_keys import (
    UNET_PREFIX,
    VAE_PREFIX,
    FileTensor,
    Part,
    UNetTopology,
    standard_text_name,
    text_tensor,
    unet_name,
    vae_name,
)
from trainer.tiny.clip_tokenizer import tiny_merges

_PARTS = (Part.QUERY, Part.KEY, Part.VALUE)


@dataclass(frozen=True)
class TinyBase:
    """``checkpoint`` is the single file, ``config`` the folder that goes with it as ``base_config``."""

    checkpoint: Path
    config: Path


def make_sd15(directory: Path, seed: int = 0) -> TinyBase:
    """Write a tiny SD 1.5: UNet 3 M parameters, VAE with stride 8, CLIP with 32 channels."""
    unet = {"block_out_channels": (32, 64, 64, 64), "cross_attention_dim": 32, "sample_size": 8}
    text = {"text_encoder": _text_config("quick_gelu", layers=2, channels=32)}
    return _write("sd15", directory, seed, unet, text)


def make_sdxl(directory: Path, seed: int = 0) -> TinyBase:
    """Write a tiny SDXL with both text encoders, the second in open_clip's naming."""
    # Readers tell the encoders apart by their channels.
    text = {
        "text_encoder": _text_config("quick_gelu", layers=2, channels=32),
        "text_encoder_2": _text_config("gelu", layers=3, channels=64),
    }
    time_dim = 8
    unet = {
        "block_out_channels": (32, 64, 64),
        "attention_head_dim": (2, 4, 4),
        "transformer_layers_per_block": (1, 1, 2),
        "cross_attention_dim": sum(values["hidden_size"] for values in text.values()),
        "addition_time_embed_dim": time_dim,
        "projection_class_embeddings_input_dim": 6 * time_dim + text["text_encoder_2"]["projection_dim"],
        "sample_size": 8,
    }
    return _write("sdxl", directory, seed, unet, text)


def _text_config(activation: str, layers: int, channels: int) -> dict[str, Any]:
    tokens = len(vocabulary(tiny_merges()))
    return {
        "vocab_size": tokens,
        "hidden_size": channels,
        "intermediate_size": 2 * channels,
        "projection_dim": channels,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "max_position_embeddings": MAX_TOKENS,
        "hidden_act": activation,
        # The text's summary is taken at the first token of this id; id 2 would mean "at the largest id".
        "bos_token_id": tokens - 2,
        "eos_token_id": tokens - 1,
        "pad_token_id": tokens - 1,
    }


def _write(
    family: str, directory: Path, seed: int, unet_changes: Mapping[str, Any], text_changes: Mapping[str, dict[str, Any]]
) -> TinyBase:
    full = packaged_config(family)
    config = directory / f"tiny-{family}-config"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel.from_config({**read_json(full / "unet" / "config.json"), **unet_changes})
        vae = AutoencoderKL.from_config(
            {**read_json(full / "vae" / "config.json"), "block_out_channels": (32, 64, 64, 64), "sample_size": 64}
        )
        encoders = [
            (CLIPTextModel if name == "text_encoder" else CLIPTextModelWithProjection)(CLIPTextConfig(**changes))
            for name, changes in text_changes.items()
        ]
    for name, module in (("unet", unet), ("vae", vae)):
        module.save_config(config / name)
    for name, encoder in zip(text_changes, encoders, strict=True):
        encoder.config.architectures = [type(encoder).__name__]
        encoder.config.save_pretrained(config / name)
        tokenizer = name.replace("text_encoder", "tokenizer")
        write_tokenizer(config / tokenizer, tiny_merges(), str(read_json(full / tokenizer / "tokenizer_config.json")["pad_token"]))
    for name in ("model_index.json", "scheduler/scheduler_config.json"):
        (config / name).parent.mkdir(exist_ok=True)
        (config / name).write_text(json.dumps(read_json(full / name), indent=2), encoding="utf-8")
    checkpoint = directory / f"tiny-{family}.safetensors"
    save_file(_single_file(family, unet, vae, encoders), checkpoint, metadata={"format": "pt"})
    return TinyBase(checkpoint, config)


def _single_file(family: str, unet: Any, vae: Any, encoders: list[Any]) -> dict[str, Tensor]:
    topology = UNetTopology.of(unet.config.layers_per_block, unet.config.up_block_types)
    blocks = len(vae.config.down_block_types)
    tensors = {UNET_PREFIX + unet_name(name, topology): tensor for name, tensor in unet.state_dict().items()}
    for name, tensor in vae.state_dict().items():
        # The attention's projections are 1x1 convolutions in this format.
        convolution = ".attentions." in name and tensor.ndim == 2
        tensors[VAE_PREFIX + vae_name(name, blocks)] = tensor[:, :, None, None] if convolution else tensor
    for number, encoder in enumerate(encoders):
        tensors |= _text_tensors(family, number, encoder)
    return {key: tensor.contiguous() for key, tensor in tensors.items()}


def _text_tensors(family: str, number: int, encoder: nn.Module) -> dict[str, Tensor]:
    place = text_tensor(family, number)
    thirds: dict[str, dict[Part, Tensor]] = {}
    tensors: dict[str, Tensor] = {}
    for name, tensor in encoder.state_dict().items():
        where: FileTensor = place(standard_text_name(name))
        if where.part is Part.WHOLE:
            tensors[where.key] = tensor.t() if where.transposed else tensor
        else:
            thirds.setdefault(where.key, {})[where.part] = tensor
    return tensors | {key: torch.cat([parts[part] for part in _PARTS]) for key, parts in thirds.items()}
