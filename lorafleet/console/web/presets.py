"""Presets of a new job: what is learned × which base × how much GPU memory, as training keys. Pure.

The values are those of ``configs/``, with batch size, accumulation and checkpointing set so that the memory estimate of
:mod:`lorafleet.console.domain.estimate` fits the card, and the pictures per optimizer step stay the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Goal(StrEnum):
    """What a LoRA learns."""

    STYLE = "style"
    CHARACTER = "character"
    TEXT = "text"


@dataclass(frozen=True)
class Preset:
    """``base`` names the kind of base model to people. ``memory_gib`` is the card's size; 0 needs no GPU."""

    id: str
    goal: Goal
    base: str
    memory_gib: int
    training: Mapping[str, Any]

    @property
    def gpus(self) -> int:
        """How many GPUs it asks for."""
        return 1 if self.memory_gib else 0

    @property
    def min_memory_mib(self) -> int:
        """What a card of this size reports at least: drivers and ECC keep up to a tenth for themselves."""
        return int(self.memory_gib * 1024 * 0.9)


_SD15: Mapping[str, Any] = {"base_model": "Stable-diffusion/v1-5-pruned.safetensors", "family": "sd15", "resolution": 512}
_SDXL: Mapping[str, Any] = {
    "base_model": "Stable-diffusion/sd_xl_base_1.0.safetensors",
    "family": "sdxl",
    "resolution": 1024,
    "precision": "bf16",
}
_LLM: Mapping[str, Any] = {
    "family": "causal_lm",
    "max_length": 2048,
    "lora_rank": 16,
    "lora_alpha": 32,
    "lora_dropout": 0.05,
    "lora_targets": "transformer",
}
_CHARACTER: Mapping[str, Any] = {
    "lora_targets": "transformer",
    "caption_dropout": 0.05,
    "epochs": 20,
    "learning_rate": 1e-4,
    "scheduler": "cosine",
    "warmup_steps": 50,
    "min_snr_gamma": 5.0,
    "save_steps": 100,
}
_STYLE: Mapping[str, Any] = {
    "lora_targets": "attention",
    "caption_dropout": 0.05,
    "epochs": 10,
    "learning_rate": 2e-4,
    "scheduler": "cosine",
    "min_snr_gamma": 5.0,
    "save_steps": 100,
}
_TEXT: Mapping[str, Any] = {
    "epochs": 3,
    "learning_rate": 2e-4,
    "scheduler": "cosine",
    "warmup_steps": 20,
    "validation_split": 0.02,
    "save_steps": 100,
}


def _sizes(goal: Goal, base: str, common: Mapping[str, Any], *sizes: tuple[int, int, int, bool]) -> tuple[Preset, ...]:
    made = []
    for memory, batch, accumulation, checkpointing in sizes:
        training = {**common, "batch_size": batch, "gradient_accumulation": accumulation, "gradient_checkpointing": checkpointing}
        slug = base.lower().replace(" ", "-").replace(".", "")
        made.append(Preset(f"{goal}-{slug}-{memory}", goal, base, memory, training))
    return tuple(made)


_SD15_SIZES = ((8, 2, 2, True), (24, 4, 1, False))
_SDXL_SIZES = ((16, 1, 4, True), (24, 2, 2, True), (80, 4, 1, False))

PRESETS: tuple[Preset, ...] = (
    *_sizes(Goal.STYLE, "SD 1.5", {**_SD15, **_STYLE, "lora_rank": 8}, *_SD15_SIZES),
    *_sizes(Goal.STYLE, "SDXL", {**_SDXL, **_STYLE, "lora_rank": 16, "lora_alpha": 8.0}, *_SDXL_SIZES),
    *_sizes(Goal.CHARACTER, "SD 1.5", {**_SD15, **_CHARACTER, "lora_rank": 8}, *_SD15_SIZES),
    *_sizes(Goal.CHARACTER, "SDXL", {**_SDXL, **_CHARACTER, "lora_rank": 16, "lora_alpha": 8.0}, *_SDXL_SIZES),
    *_sizes(Goal.TEXT, "LLM 1B", {"base_model": "Qwen2.5-1.5B-Instruct", **_LLM, **_TEXT}, (16, 2, 8, True)),
    *_sizes(Goal.TEXT, "LLM 7B", {"base_model": "Qwen2.5-7B-Instruct", **_LLM, **_TEXT}, (24, 1, 16, True), (80, 4, 4, False)),
)


def of_goal(goal: Goal) -> tuple[Preset, ...]:
    """The presets of a goal, the least demanding first."""
    return tuple(preset for preset in PRESETS if preset.goal is goal)


def find(preset: str) -> Preset | None:
    """A preset by its id."""
    return next((each for each in PRESETS if each.id == preset), None)
