"""Stable Diffusion 1.5 and SDXL at their real size, with random weights, as a diffusers folder."""

import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from trainer.families.clip_vocabulary import openai_merges, write_tokenizer
from trainer.families.detect import read_json
from trainer.families.image_base import packaged_config


def make_full_size(folder: Path, family: str) -> None:
    """Write the base for ``sd15`` or ``sdxl``, in half precision (2 and 7 GB)."""
    config = packaged_config(family)
    shutil.copytree(config, folder)
    torch.manual_seed(0)
    for name, kind in (("unet", UNet2DConditionModel), ("vae", AutoencoderKL)):
        _save(kind.from_config(read_json(config / name / "config.json")), folder / name)
    for name, encoder in (("text_encoder", CLIPTextModel), ("text_encoder_2", CLIPTextModelWithProjection)):
        if (config / name).is_dir():
            _save(encoder(CLIPTextConfig.from_dict(read_json(config / name / "config.json"))), folder / name)
            tokenizer = name.replace("text_encoder", "tokenizer")
            write_tokenizer(
                folder / tokenizer, openai_merges(), str(read_json(config / tokenizer / "tokenizer_config.json")["pad_token"])
            )


def _save(module: Any, folder: Path) -> None:
    module.half().save_pretrained(folder, safe_serialization=True)
