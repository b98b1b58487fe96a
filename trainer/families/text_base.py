"""Loading a causal language model and its tokenizer from a transformers folder: offline, safetensors only, every weight found."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.utils.logging import disable_progress_bar

from lorafleet.contracts.problems import ConfigError, NoInputError
from trainer.digests import sha256_of
from trainer.families.base import Control
from trainer.families.detect import read_json
from trainer.families.encodings import key_of

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
# What besides the weights decides what a model computes.
_GENERATION_CONFIG = "generation_config.json"
_SMALL_FILES = ("config.json", _GENERATION_CONFIG, "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
_ATTENTION = re.compile("attention|attn", re.IGNORECASE)
_SHOWN = 3


@dataclass(frozen=True)
class TextBase:
    """A frozen base model.

    ``digest`` is the hash of all its files. ``stop_ids`` are the tokens that end its output. ``names`` are the paths of all modules
    before a LoRA adds more, ``linear`` those of the linear layers, ``attention`` of those inside attention, ``head_name`` that of the
    output head, which is none of them.
    """

    model: Any
    digest: str
    stop_ids: frozenset[int]
    names: tuple[str, ...]
    linear: tuple[str, ...]
    attention: tuple[str, ...]
    head_name: str

    @property
    def decoder(self) -> nn.Module:
        """The model without its output head."""
        decoder: nn.Module = self.model.base_model
        return decoder

    @property
    def head(self) -> nn.Module:
        """What turns hidden states into logits."""
        head: nn.Module = self.model.get_output_embeddings()
        return head

    @property
    def positions(self) -> int | None:
        """The longest row the model was made for, or None where it does not say."""
        longest = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return int(longest) if longest else None


def load_tokenizer(folder: Path) -> Any:
    """The folder's tokenizer.

    Raises:
        ConfigError, NoInputError: it is not there or cannot be read.
    """
    _check(folder)
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ConfigError(
            f"cannot load the tokenizer: {_one_line(error)}", where=str(folder), hint="it must lie beside the weights"
        ) from None


def load_text_base(folder: Path, dtype: torch.dtype, device: torch.device, control: Control) -> TextBase:
    """The folder's model in ``dtype`` on ``device``, frozen, with SDPA where transformers has it for the architecture (not for Gemma 2).

    Raises:
        NoInputError: a file is missing or damaged.
        ConfigError: the folder holds pickles, no causal language model, or not every weight.
    """
    files = _check(folder)
    digests = []
    for done, file in enumerate(files):
        control.check()
        control.progress("reading the base model", done, len(files))
        digests.append((file.name, sha256_of(file)))
    control.progress("reading the base model", len(files), len(files))
    disable_progress_bar()
    try:
        model, found = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except SafetensorError as error:
        raise NoInputError(f"a weights file is damaged: {error}", where=str(folder), hint="download or copy it again") from None
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise ConfigError(f"cannot load the model: {_one_line(error)}", where=str(folder)) from None
    missing = sorted(found["missing_keys"])
    if missing:
        raise ConfigError(
            f"the weights lack {len(missing)} tensors: {', '.join(missing[:_SHOWN])}{' …' if len(missing) > _SHOWN else ''}",
            where=str(folder),
            hint="the download is incomplete, or the folder is no causal language model",
        )
    model.requires_grad_(False)
    model.eval().to(device)
    head = model.get_output_embeddings()
    modules = dict(model.named_modules())
    linear = [name for name, module in modules.items() if isinstance(module, nn.Linear) and module is not head]
    inside = tuple(f"{name}." for name, module in modules.items() if _ATTENTION.search(type(module).__name__))
    return TextBase(
        model=model,
        digest=key_of(*digests),
        stop_ids=_stop_ids(folder),
        names=tuple(modules),
        linear=tuple(linear),
        attention=tuple(name for name in linear if name.startswith(inside)),
        head_name=next(name for name, module in modules.items() if module is head),
    )


def module_targets(paths: Iterable[str], candidates: Collection[str]) -> list[str]:
    """peft's ``target_modules`` that match exactly ``paths`` among ``candidates``: the last parts of the names, or else full names."""
    wanted = set(paths)
    endings = {path.rsplit(".", 1)[-1] for path in wanted}
    matched = {path for path in candidates if path.rsplit(".", 1)[-1] in endings}
    return sorted(endings if matched == wanted else wanted)


def check_targets(names: Sequence[str], base: TextBase) -> None:
    """Refuse names of layers that cannot be trained or exported.

    Raises:
        ConfigError: a name matches nothing, or something other than linear layers.
    """
    for name in names:
        matched = [path for path in base.names if path == name or path.endswith(f".{name}")]
        if not matched:
            known = ", ".join(module_targets(base.linear, base.linear)[:8])
            raise ConfigError(f"lora_targets: the model has no '{name}'", hint=f"it has {known}")
        other = sorted(set(matched) - {*base.linear, base.head_name})
        if other:
            raise ConfigError(
                f"lora_targets: {other[0]} is no linear layer", hint="name linear layers, or use attention or transformer"
            )


def set_recomputation(model: Any, on: bool) -> None:
    """Whether the backward pass recomputes activations layer by layer.

    Raises:
        ConfigError: the architecture cannot.
    """
    if on and not model.supports_gradient_checkpointing:
        raise ConfigError("gradient_checkpointing: this model cannot recompute its activations", hint="set it to false")
    # transformers 5.2x renames the pair.
    prefix = "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"
    if not on:
        getattr(model, f"{prefix}_checkpointing_disable")()
        return
    getattr(model, f"{prefix}_checkpointing_enable")({"use_reentrant": False})
    # Only reentrant recomputation needs embeddings with a gradient; here they would cost the first layer's backward pass.
    model.disable_input_require_grads()


def _check(folder: Path) -> list[Path]:
    """The folder's files that decide the model, safetensors first."""
    if not folder.is_dir():
        raise ConfigError("a language model is a folder with config.json and .safetensors files", where=str(folder))
    read_json(folder / "config.json")
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        pickles = sorted(path for pattern in _PICKLES for path in folder.glob(pattern))
        if pickles:
            raise ConfigError(
                f"{pickles[0].name} is a pickle, which can run any code when it is opened, and is not read",
                where=str(folder),
                hint="take the model's .safetensors files",
            )
        raise NoInputError("there is no .safetensors file", where=str(folder), hint="copy the model's weights here")
    return [*weights, *(path for name in _SMALL_FILES if (path := folder / name).exists())]


def _stop_ids(folder: Path) -> frozenset[int]:
    if not (folder / _GENERATION_CONFIG).exists():
        return frozenset()
    ids = GenerationConfig.from_pretrained(folder, local_files_only=True).eos_token_id
    return frozenset(ids if isinstance(ids, list) else [] if ids is None else [ids])


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
