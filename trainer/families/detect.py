"""What kind of base model a path holds, from names alone: no weight is read and no library of models is imported."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from lorafleet.contracts.problems import ConfigError, NoInputError

_PIPELINES = {"StableDiffusionPipeline": "sd15", "StableDiffusionXLPipeline": "sdxl"}
# Stable Diffusion 1.x and 2.x share a pipeline class; 1.x reads text of 768 channels.
_SD2_TEXT_CHANNELS = 1024
_PICKLES = frozenset({".ckpt", ".pt", ".pth", ".bin"})
_LORA_MARKS = (".lora_down.", ".lora_up.", ".lora_A.", ".lora_B.", ".lora.down.", ".lora.up.", ".hada_w1", ".lokr_w1")


def detect_family(base_model: Path) -> str | None:
    """``sd15``, ``sdxl`` or ``causal_lm``; None for anything else.

    Raises:
        NoInputError: the path is not there, or is damaged.
        ConfigError: it is a pickle.
    """
    return recognize(base_model)[0]


def recognize(base_model: Path) -> tuple[str | None, str]:
    """The family, or None, and in words what the path holds.

    Raises:
        NoInputError: the path is not there, or is damaged.
        ConfigError: it is a pickle.
    """
    if base_model.is_dir():
        return _recognize_folder(base_model)
    return classify(tensor_shapes(base_model))


def tensor_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors in a ``.safetensors`` file, from its header.

    Raises:
        NoInputError: the file is not there, cannot be read, or is cut short or damaged.
        ConfigError: it is a pickle, or of another type.
    """
    if file.suffix.lower() in _PICKLES:
        raise ConfigError(
            f"{file.suffix} files are pickles, which can run any code when they are opened, and are not read",
            where=str(file),
            hint="take the model's .safetensors file, or convert it once on a machine that you can lose",
        )
    if not file.exists():
        raise NoInputError("there is no such file or folder", where=str(file), hint="check base_model")
    if file.suffix.lower() != ".safetensors":
        raise ConfigError("a base model is a .safetensors file or a folder", where=str(file), hint="check base_model")
    try:
        # safetensors says of every file that it may not open that it is not there.
        file.open("rb").close()
        with safe_open(file, framework="numpy") as opened:
            return {key: tuple(opened.get_slice(key).get_shape()) for key in opened.keys()}  # noqa: SIM118
    except SafetensorError as error:
        size = file.stat().st_size
        raise NoInputError(
            f"this is no whole .safetensors file ({size:,} bytes): {error}", where=str(file), hint="download or copy it again"
        ) from None
    except OSError as error:
        raise NoInputError(f"cannot read the file: {error.strerror or error}", where=str(file)) from None


def classify(names: Collection[str]) -> tuple[str | None, str]:
    """The family of a single file, or None, and in words what the file is, from the names of its tensors."""
    if any(mark in name for name in names for mark in _LORA_MARKS):
        return None, "a LoRA, not a base model"
    if any(name.startswith("model.diffusion_model.double_blocks.") for name in names):
        return None, "a Flux model"
    if any(name.startswith(("model.diffusion_model.joint_blocks.", "joint_blocks.")) for name in names):
        return None, "a Stable Diffusion 3 model"
    if any(name.startswith("model.diffusion_model.input_blocks.") for name in names):
        if any(name.startswith("conditioner.embedders.1.") for name in names):
            return "sdxl", "an SDXL model"
        if any(name.startswith("conditioner.embedders.0.model.") for name in names):
            return None, "an SDXL refiner"
        if any(name.startswith("cond_stage_model.model.") for name in names):
            return None, "a Stable Diffusion 2.x model"
        if any(name.startswith("cond_stage_model.transformer.") for name in names):
            return "sd15", "a Stable Diffusion 1.x model"
        return None, "a UNet without text encoder"
    if any(name.startswith(("down_blocks.", "encoder.down_blocks.", "text_model.", "model.layers.")) for name in names):
        return None, "one component of a model; give the folder that holds all of it"
    return None, "no model that is known here"


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        NoInputError: the file is not there or cannot be read.
        ConfigError: it holds no JSON object.
    """
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise NoInputError(f"cannot read the file: {error.strerror}", where=str(file)) from None
    except ValueError as error:
        raise ConfigError(f"this is not JSON: {error}", where=str(file)) from None
    if not isinstance(value, Mapping):
        raise ConfigError("expected a JSON object", where=str(file))
    return dict(value)


def _recognize_folder(folder: Path) -> tuple[str | None, str]:
    index, config = folder / "model_index.json", folder / "config.json"
    if index.is_file():
        pipeline = str(read_json(index).get("_class_name", ""))
        if pipeline == "StableDiffusionPipeline" and _text_channels(folder) == _SD2_TEXT_CHANNELS:
            return None, "a Stable Diffusion 2.x folder"
        return _PIPELINES.get(pipeline), f"a {pipeline or 'diffusers'} folder"
    if config.is_file():
        values = read_json(config)
        architectures = values.get("architectures") or [values.get("_class_name", "unnamed")]
        causal = any(str(name).endswith("ForCausalLM") for name in architectures)
        return "causal_lm" if causal else None, f"a folder of {', '.join(map(str, architectures))}"
    return None, "a folder without model_index.json and config.json"


def _text_channels(folder: Path) -> int | None:
    config = folder / "unet" / "config.json"
    return read_json(config).get("cross_attention_dim") if config.is_file() else None
