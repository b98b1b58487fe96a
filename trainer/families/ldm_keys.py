"""Names of the original single-file format (LDM, SGM) for the names that diffusers and transformers use. Names only, no tensors.

The format: ``model.diffusion_model.*`` (UNet), ``first_stage_model.*`` (VAE), ``cond_stage_model.transformer.text_model.*`` (CLIP-L of
SD 1.x); SDXL has ``conditioner.embedders.0.transformer.text_model.*`` (CLIP-L) and ``conditioner.embedders.1.model.*`` (bigG, in
open_clip's naming, with query, key and value in one tensor). Where the layout comes from: CompVis/latent-diffusion
``openaimodel.py`` and ``model.py``, mlfoundations/open_clip ``transformer.py``.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

UNET_PREFIX = "model.diffusion_model."
VAE_PREFIX = "first_stage_model."


class Part(StrEnum):
    """Which part of the file's tensor a parameter is, along the first axis."""

    WHOLE = "whole"
    QUERY = "query"
    KEY = "key"
    VALUE = "value"


@dataclass(frozen=True)
class FileTensor:
    """Where a parameter stands in a single file. ``transposed`` says that the file holds the transpose of the parameter."""

    key: str
    part: Part = Part.WHOLE
    transposed: bool = False


@dataclass(frozen=True)
class UNetTopology:
    """What block numbers depend on: resnets in each down block, and which up blocks have attention."""

    layers_per_block: int
    attention_up_blocks: frozenset[int]

    @classmethod
    def of(cls, layers_per_block: int, up_block_types: Iterable[str]) -> "UNetTopology":
        """From the values of a diffusers UNet config."""
        attention = frozenset(index for index, kind in enumerate(up_block_types) if "Attn" in kind)
        return cls(layers_per_block, attention)


SD15_UNET = UNetTopology(2, frozenset({1, 2, 3}))
SDXL_UNET = UNetTopology(2, frozenset({0, 1}))

_UNET_ENDS = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}
_UNET_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_UNET_BLOCK = re.compile(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)(?=\.|$)")
_VAE_BLOCK = re.compile(r"(encoder|decoder)\.(?:down|up)_blocks\.(\d+)\.(?:(resnets)\.(\d+)|(?:down|up)samplers\.0)(?=\.|$)")
_VAE_ENDS = {
    "conv_norm_out": "norm_out",
    "mid_block.resnets.0": "mid.block_1",
    "mid_block.resnets.1": "mid.block_2",
    "mid_block.attentions.0.group_norm": "mid.attn_1.norm",
    "mid_block.attentions.0.to_q": "mid.attn_1.q",
    "mid_block.attentions.0.to_k": "mid.attn_1.k",
    "mid_block.attentions.0.to_v": "mid.attn_1.v",
    "mid_block.attentions.0.to_out.0": "mid.attn_1.proj_out",
}
_OPEN_CLIP_ENDS = {
    "text_model.embeddings.token_embedding.weight": FileTensor("token_embedding.weight"),
    "text_model.embeddings.position_embedding.weight": FileTensor("positional_embedding"),
    "text_model.final_layer_norm.weight": FileTensor("ln_final.weight"),
    "text_model.final_layer_norm.bias": FileTensor("ln_final.bias"),
    "text_projection.weight": FileTensor("text_projection", transposed=True),
}
_OPEN_CLIP_LAYER = re.compile(r"text_model\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")
_OPEN_CLIP_INNER = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
_PROJECTIONS = {"self_attn.q_proj": Part.QUERY, "self_attn.k_proj": Part.KEY, "self_attn.v_proj": Part.VALUE}


def standard_text_name(name: str) -> str:
    """A text encoder's module or parameter name as every tool but the newest transformers writes it.

    transformers 5.6 dropped ``text_model.`` from ``CLIPTextModel`` but not from ``CLIPTextModelWithProjection``; files keep it.
    """
    if name.startswith(("text_model.", "text_projection")):
        return name
    return f"text_model.{name}"


def unet_name(name: str, topology: UNetTopology) -> str:
    """The LDM name, without prefix, of a UNet module or parameter.

    Raises:
        ValueError: LDM has no such module.
    """
    for ours, theirs in _UNET_ENDS.items():
        if _starts(name, ours):
            tail = name[len(ours) :]
            return theirs + (_renamed(tail, _UNET_RESNET) if ".resnets." in ours else tail)
    match = _UNET_BLOCK.match(name)
    if match is None:
        raise ValueError(f"the original format has no UNet module '{name}'")
    direction, block, kind, index = match[1], int(match[2]), match[3], int(match[4])
    tail = name[match.end() :]
    resnets = topology.layers_per_block + 1
    if kind == "resnets":
        tail = _renamed(tail, _UNET_RESNET)
    if direction == "down":
        if kind == "downsamplers":
            return f"input_blocks.{(block + 1) * resnets}.0{_renamed(tail, {'conv': 'op'})}"
        return f"input_blocks.{block * resnets + index + 1}.{int(kind == 'attentions')}{tail}"
    if kind == "upsamplers":
        return f"output_blocks.{(block + 1) * resnets - 1}.{1 + (block in topology.attention_up_blocks)}{tail}"
    return f"output_blocks.{block * resnets + index}.{int(kind == 'attentions')}{tail}"


def vae_name(name: str, blocks: int) -> str:
    """The LDM name, without prefix, of a VAE parameter; ``blocks`` is the number of down blocks.

    Raises:
        ValueError: LDM has no such parameter.
    """
    match = _VAE_BLOCK.match(name)
    if match is not None:
        side, block, tail = match[1], int(match[2]), name[match.end() :]
        down = side == "encoder"
        level = f"{side}.{'down' if down else 'up'}.{block if down else blocks - 1 - block}"
        if match[3]:
            return f"{level}.block.{match[4]}{_renamed(tail, {'conv_shortcut': 'nin_shortcut'})}"
        return f"{level}.{'downsample' if down else 'upsample'}{tail}"
    side, _, rest = name.partition(".")
    if side in ("quant_conv", "post_quant_conv") or rest.startswith(("conv_in.", "conv_out.")):
        return name
    for ours, theirs in _VAE_ENDS.items():
        if _starts(rest, ours):
            return f"{side}.{theirs}{rest[len(ours) :]}"
    raise ValueError(f"the original format has no VAE parameter '{name}'")


def open_clip_tensor(name: str) -> FileTensor:
    """Where open_clip keeps a parameter of ``CLIPTextModelWithProjection``, without prefix.

    Raises:
        ValueError: open_clip has no such parameter.
    """
    if name in _OPEN_CLIP_ENDS:
        return _OPEN_CLIP_ENDS[name]
    match = _OPEN_CLIP_LAYER.fullmatch(name)
    if match is not None:
        layer, inner, leaf = match.groups()
        block = f"transformer.resblocks.{layer}"
        if inner in _PROJECTIONS:
            return FileTensor(f"{block}.attn.in_proj_{leaf}", _PROJECTIONS[inner])
        if inner in _OPEN_CLIP_INNER:
            return FileTensor(f"{block}.{_OPEN_CLIP_INNER[inner]}.{leaf}")
    raise ValueError(f"open_clip has no parameter '{name}'")


def text_tensor(family: str, encoder: int) -> Callable[[str], FileTensor]:
    """How parameter names of a family's text encoder number ``encoder`` (from 0) become places in the file.

    The names that go in are standard ones, see :func:`standard_text_name`.
    """
    if family == "sdxl" and encoder == 1:

        def in_open_clip(name: str) -> FileTensor:
            inner = open_clip_tensor(name)
            return FileTensor(f"conditioner.embedders.1.model.{inner.key}", inner.part, inner.transposed)

        return in_open_clip
    prefix = text_prefix(family, encoder)
    return lambda name: FileTensor(prefix + name)


def text_prefix(family: str, encoder: int) -> str:
    """What the file's keys of a text encoder begin with."""
    if family == "sdxl":
        return ("conditioner.embedders.0.transformer.", "conditioner.embedders.1.model.")[encoder]
    return "cond_stage_model.transformer."


def _starts(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def _renamed(tail: str, names: dict[str, str]) -> str:
    for ours, theirs in names.items():
        if _starts(tail, f".{ours}"):
            return f".{theirs}{tail[len(ours) + 1 :]}"
    return tail
