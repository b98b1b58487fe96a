"""Loading Stable Diffusion 1.x and XL, offline, from a single ``.safetensors`` file or a diffusers folder."""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from lorafleet.contracts.problems import ConfigError, NoInputError
from trainer.digests import sha256_of
from trainer.families.clip_vocabulary import END, openai_merges, write_tokenizer
from trainer.families.detect import detect_family, read_json, recognize
from trainer.families.ldm_keys import (
    UNET_PREFIX,
    VAE_PREFIX,
    FileTensor,
    UNetTopology,
    standard_text_name,
    text_prefix,
    text_tensor,
    unet_name,
    vae_name,
)
from trainer.families.weights import WeightFiles, find_problem

__all__ = ["ImageBase", "ImageFamily", "detect_family", "load_image_base", "packaged_config"]

ImageFamily = Literal["sd15", "sdxl"]

_TEXT_FOLDERS = {"sd15": ("text_encoder",), "sdxl": ("text_encoder", "text_encoder_2")}
_DIFFUSERS_CLASSES = {"unet": UNet2DConditionModel, "vae": AutoencoderKL}
_TEXT_CLASSES = {"text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection}
_WORDS = {"unet": "UNet", "vae": "VAE", "text_encoder": "text encoder", "text_encoder_2": "second text encoder"}
# Tensors that real files carry inside a component and that no forward pass reads.
_UNREAD = re.compile(
    r"(^|\.)(position_ids|logit_scale|attn_mask)$|^first_stage_model\.(loss|model_ema)\.|^cond_stage_model\..*text_projection"
)
_OLD_VAE_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


@dataclass(frozen=True)
class ImageBase:
    """A frozen base model on the CPU.

    ``text_encoders`` and ``tokenizers`` hold one of each for SD 1.x and two for SDXL. ``scheduler_config`` is the diffusers
    scheduler's, with ``prediction_type`` and the betas. ``digest`` names everything that decides the encodings (weights, configs,
    vocabularies); ``weights_sha256`` is the hash of the single file, or of the folder's weight files.
    """

    family: str
    unet: Any
    vae: Any
    text_encoders: tuple[Any, ...]
    tokenizers: tuple[Any, ...]
    scheduler_config: Mapping[str, Any]
    digest: str
    weights_sha256: str


@dataclass(frozen=True)
class _Component:
    name: str
    module: nn.Module
    weights: WeightFiles
    wanted: Mapping[str, FileTensor]
    unexpected: frozenset[str]


def packaged_config(family: str) -> Path:
    """The folder of component configs that ships with us for a family's standard architecture."""
    return Path(__file__).parent / "configs" / family


def load_image_base(base_model: Path, base_config: Path | None, family: str, *, dtype: torch.dtype = torch.float32) -> ImageBase:
    """Load a base in ``dtype``; only the VAE is always fp32, as SDXL's overflows in fp16. Never asks a network.

    ``base_config`` is a folder with ``unet/config.json`` and the like; by default a diffusers folder's own, and the family's
    packaged one for a single file. A tokenizer folder without ``vocab.json`` means CLIP's standard vocabulary.

    Raises:
        NoInputError: a file is missing, damaged or unreadable.
        ConfigError: the base is of another kind, a pickle, or not every parameter is in it with the size that the config gives.
    """
    found, words = recognize(base_model)
    if found != family:
        hint = f"set family: {found}" if found else "give a Stable Diffusion 1.x or XL model"
        raise ConfigError(f"this is {words}, and cannot be trained as family {family}", where=str(base_model), hint=hint)
    in_folder = base_model.is_dir()
    config = base_config or (base_model if in_folder else packaged_config(family))
    single = None if in_folder else WeightFiles([base_model])
    modules = {name: _build(config / name) for name in ("unet", "vae", *_TEXT_FOLDERS[family])}
    components = [
        _in_folder(name, module, base_model / name) if single is None else _in_single_file(name, module, single, family)
        for name, module in modules.items()
    ]
    problems = [
        find_problem(_WORDS[part.name], part.module, part.wanted, part.weights.shapes, part.unexpected, str(base_model))
        for part in components
    ]
    if any(problems):
        raise ConfigError(problem for problem in problems if problem)
    for part in components:
        part.weights.fill(part.module, part.wanted, torch.float32 if part.name == "vae" else dtype)
        part.module.requires_grad_(False).eval()
    tokenizers = tuple(_tokenizer(config / name.replace("text_encoder", "tokenizer")) for name in _TEXT_FOLDERS[family])
    files = dict.fromkeys(file for part in components for file in part.weights.files)
    weights_sha256 = _hash_of(files, base_model) if in_folder else sha256_of(base_model)
    return ImageBase(
        family=family,
        unet=modules["unet"],
        vae=modules["vae"],
        text_encoders=tuple(modules[name] for name in _TEXT_FOLDERS[family]),
        tokenizers=tokenizers,
        scheduler_config=_scheduler_config(config, set() if single is None else set(single.shapes)),
        digest=sha256(f"{weights_sha256} {_hash_of(_small_files(config), config)}".encode()).hexdigest(),
        weights_sha256=weights_sha256,
    )


def _build(folder: Path) -> nn.Module:
    """The component on the meta device, but for its buffers."""
    file = folder / "config.json"
    if not file.is_file():
        raise NoInputError("there is no such config", where=str(file), hint="base_config needs the layout of a diffusers folder")
    values = read_json(file)
    try:
        with init_empty_weights(include_buffers=False):
            if folder.name in _DIFFUSERS_CLASSES:
                module: nn.Module = _DIFFUSERS_CLASSES[folder.name].from_config(values)
            else:
                module = _TEXT_CLASSES[folder.name](CLIPTextConfig.from_dict(values))
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"no model can be built from this config: {error}", where=str(file)) from None
    return module


def _in_single_file(name: str, module: Any, weights: WeightFiles, family: str) -> _Component:
    if name == "unet":
        prefix = UNET_PREFIX
        topology = UNetTopology.of(module.config.layers_per_block, module.config.up_block_types)
        wanted = {key: FileTensor(prefix + unet_name(key, topology)) for key in module.state_dict()}
    elif name == "vae":
        prefix = VAE_PREFIX
        blocks = len(module.config.down_block_types)
        wanted = {key: FileTensor(prefix + vae_name(key, blocks)) for key in module.state_dict()}
    else:
        encoder = _TEXT_FOLDERS[family].index(name)
        prefix = text_prefix(family, encoder)
        place = text_tensor(family, encoder)
        wanted = {key: place(standard_text_name(key)) for key in module.state_dict()}
        wanted = _as_written(wanted, weights, prefix)
    known = {place.key for place in wanted.values()}
    unexpected = frozenset(key for key in weights.shapes if key.startswith(prefix) and key not in known and not _UNREAD.search(key))
    return _Component(name, module, weights, wanted, unexpected)


def _as_written(wanted: Mapping[str, FileTensor], weights: WeightFiles, prefix: str) -> dict[str, FileTensor]:
    """The same places without ``text_model.`` where the file's writer left that out."""
    standard = f"{prefix}text_model."
    if any(key.startswith(standard) for key in weights.shapes):
        return dict(wanted)
    return {
        name: FileTensor(prefix + place.key.removeprefix(standard), place.part, place.transposed)
        if place.key.startswith(standard)
        else place
        for name, place in wanted.items()
    }


def _in_folder(name: str, module: nn.Module, folder: Path) -> _Component:
    weights = WeightFiles(_weight_files(folder, "model" if name.startswith("text") else "diffusion_pytorch_model"))
    if name.startswith("text"):
        wanted = _as_written({key: FileTensor(standard_text_name(key)) for key in module.state_dict()}, weights, "")
    else:
        wanted = {key: FileTensor(_old_vae_name(key, weights) if name == "vae" else key) for key in module.state_dict()}
    known = {place.key for place in wanted.values()}
    return _Component(
        name, module, weights, wanted, frozenset(key for key in weights.shapes if key not in known and not _UNREAD.search(key))
    )


def _old_vae_name(key: str, weights: WeightFiles) -> str:
    """The VAE of SD 1.x as it was first published names the projections of its attention otherwise."""
    if key in weights.shapes or ".attentions." not in key:
        return key
    for new, old in _OLD_VAE_NAMES.items():
        renamed = key.replace(f".{new}.", f".{old}.")
        if renamed in weights.shapes:
            return renamed
    return key


def _weight_files(folder: Path, stem: str) -> list[Path]:
    plain, index = folder / f"{stem}.safetensors", folder / f"{stem}.safetensors.index.json"
    if plain.is_file():
        return [plain]
    if index.is_file():
        return [folder / name for name in sorted(set(read_json(index).get("weight_map", {}).values()))]
    half = folder / f"{stem}.fp16.safetensors"
    if half.is_file():
        return [half]
    pickled = sorted(folder.glob("*.bin"))
    # WeightFiles refuses a pickle with the reason, and names a file that is not there.
    return pickled[:1] or [plain]


def _tokenizer(folder: Path) -> Any:
    if (folder / "vocab.json").is_file() or (folder / "tokenizer.json").is_file():
        return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    config = folder / "tokenizer_config.json"
    pad = read_json(config).get("pad_token", END) if config.is_file() else END
    with tempfile.TemporaryDirectory() as scratch:
        write_tokenizer(Path(scratch), openai_merges(), pad["content"] if isinstance(pad, dict) else str(pad))
        return CLIPTokenizer.from_pretrained(scratch, local_files_only=True)


def _scheduler_config(config: Path, keys: set[str]) -> dict[str, Any]:
    values = read_json(config / "scheduler" / "scheduler_config.json")
    # Single files of v-prediction models say so by empty tensors of these names.
    if "v_pred" in keys:
        values["prediction_type"] = "v_prediction"
    if "ztsnr" in keys:
        values["rescale_betas_zero_snr"] = True
    return values


def _small_files(config: Path) -> dict[Path, None]:
    wanted = (".json", ".txt")
    return dict.fromkeys(sorted(path for path in config.rglob("*") if path.suffix in wanted and path.is_file()))


def _hash_of(files: Mapping[Path, None], root: Path) -> str:
    lines = [f"{file.relative_to(root).as_posix()} {sha256_of(file)}" for file in sorted(files)]
    return sha256("\n".join(lines).encode()).hexdigest()
