"""Exports are read back by the peers' own loaders, and the model's outputs are compared with those of the trained adapter."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from lorafleet.contracts.training import TrainingConfig, from_mapping
from trainer.export import diffusers_format, kohya
from trainer.export.names import kohya_name
from trainer.families.base import Export
from trainer.families.image_base import ImageBase, load_image_base
from trainer.lora import LoraLayer, inject, layers
from trainer.tiny.stable_diffusion import TinyBase

PIPELINES = {"sd15": StableDiffusionPipeline, "sdxl": StableDiffusionXLPipeline}
WRITERS: dict[str, Callable[..., list[Path]]] = {"kohya": kohya.write, "diffusers": diffusers_format.write}
UNET_TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"]
TEXT_TARGETS = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]
TEXT = ("text_encoder", "text_encoder_2")
VARIANTS = {
    "alpha is half the rank": {"lora_rank": 4, "lora_alpha": 2},
    "rslora": {"lora_rank": 4, "lora_alpha": 2, "rslora": True},
}


def configured(**values: Any) -> TrainingConfig:
    return from_mapping({"train_data_dir": "data", "base_model": "base", "output_dir": "out", **values})


def adapted(base: ImageBase, config: TrainingConfig, unet_targets: list[str] = UNET_TARGETS, text: bool = True) -> list[LoraLayer]:
    """Give the base adapters with random weights in every layer."""
    found: list[LoraLayer] = []
    modules = {"unet": base.unet} | (dict(zip(TEXT, base.text_encoders, strict=False)) if text else {})
    generator = torch.Generator().manual_seed(3)
    for component, module in modules.items():
        inject(component, module, config, unet_targets if component == "unet" else TEXT_TARGETS)
        for layer in layers(component, module):
            layer.up.copy_(torch.randn(layer.up.shape, generator=generator) * 0.1)
            if layer.magnitude is not None:
                layer.magnitude.mul_(1 + 0.2 * torch.rand(layer.magnitude.shape, generator=generator))
            found.append(layer)
    return found


@torch.no_grad()
def outputs(unet: Any, encoders: tuple[nn.Module, ...]) -> dict[str, Tensor]:
    """What the model makes of fixed inputs, by component."""
    generator = torch.Generator().manual_seed(7)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    ids = torch.randint(0, 600, (2, 77), generator=generator)
    result = {
        name: encoder(ids, output_hidden_states=True).hidden_states[-1] for name, encoder in zip(TEXT, encoders, strict=False)
    }
    extra = {"text_embeds": random(2, 64), "time_ids": random(2, 6)} if len(encoders) > 1 else None
    text = random(2, 77, int(unet.config.cross_attention_dim))
    result["unet"] = unet(random(2, 4, 8, 8), torch.tensor([10, 700]), text, added_cond_kwargs=extra).sample
    return result


def fresh(family: str, tiny_base: TinyBase) -> Any:
    return PIPELINES[family].from_single_file(str(tiny_base.checkpoint), config=str(tiny_base.config), local_files_only=True)


def outputs_of(pipeline: Any) -> dict[str, Tensor]:
    encoders = tuple(getattr(pipeline, name) for name in TEXT if getattr(pipeline, name, None) is not None)
    for module in (pipeline.unet, *encoders):
        module.eval()
    return outputs(pipeline.unet, encoders)


def export_to(folder: Path, dtype: torch.dtype = torch.float32, **metadata: str) -> Export:
    return Export(folder, "style", "any", dtype, metadata)


@pytest.fixture
def base(tiny: tuple[str, TinyBase]) -> ImageBase:
    family, tiny_base = tiny
    return load_image_base(tiny_base.checkpoint, tiny_base.config, family)


@pytest.mark.parametrize("format_name", WRITERS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_diffusers_reads_the_file_with_the_trained_strength(
    tiny: tuple[str, TinyBase], base: ImageBase, tmp_path: Path, format_name: str, variant: str
) -> None:
    family, tiny_base = tiny
    without = outputs(base.unet, base.text_encoders)
    trained_layers = adapted(base, configured(**VARIANTS[variant]))
    trained = outputs(base.unet, base.text_encoders)
    [path] = WRITERS[format_name](trained_layers, family, export_to(tmp_path))
    pipeline = fresh(family, tiny_base)
    pipeline.load_lora_weights(str(path.parent), weight_name=path.name)
    loaded = outputs_of(pipeline)
    assert trained.keys() == loaded.keys() == {"unet", *TEXT[: len(base.text_encoders)]}
    for component, expected in trained.items():
        assert (expected - without[component]).abs().max() > 1e-2
        torch.testing.assert_close(loaded[component], expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("format_name", WRITERS)
def test_convolutions_of_resnets_are_read_too(
    tiny: tuple[str, TinyBase], base: ImageBase, tmp_path: Path, format_name: str
) -> None:
    family, tiny_base = tiny
    targets = ["conv1", "conv2", "conv_shortcut", "time_emb_proj", "to_q"]
    trained_layers = adapted(base, configured(lora_rank=4, lora_alpha=2), targets, text=False)
    assert {layer.down.ndim for layer in trained_layers} == {2, 4}
    trained = outputs(base.unet, base.text_encoders)["unet"]
    [path] = WRITERS[format_name](trained_layers, family, export_to(tmp_path))
    pipeline = fresh(family, tiny_base)
    pipeline.load_lora_weights(str(path.parent), weight_name=path.name)
    torch.testing.assert_close(outputs_of(pipeline)["unet"], trained, atol=2e-5, rtol=1e-4)


def test_dora_is_read_from_the_diffusers_format(tiny: tuple[str, TinyBase], base: ImageBase, tmp_path: Path) -> None:
    family, tiny_base = tiny
    trained_layers = adapted(base, configured(lora_rank=4, lora_alpha=2, dora=True))
    trained = outputs(base.unet, base.text_encoders)
    [path] = diffusers_format.write(trained_layers, family, export_to(tmp_path))
    pipeline = fresh(family, tiny_base)
    pipeline.load_lora_weights(str(path.parent), weight_name=path.name)
    loaded = outputs_of(pipeline)
    for component, expected in trained.items():
        torch.testing.assert_close(loaded[component], expected, atol=2e-5, rtol=1e-4)


def test_dora_scale_gives_the_trained_weights_in_the_arithmetic_of_lycoris(
    tiny: tuple[str, TinyBase], base: ImageBase, tmp_path: Path
) -> None:
    family, _ = tiny
    trained_layers = adapted(base, configured(lora_rank=4, lora_alpha=2, dora=True), text=False)
    tensors = load_file(kohya.write(trained_layers, family, export_to(tmp_path))[0])
    modules = dict(base.unet.named_modules())
    for layer in trained_layers:
        name = kohya_name(layer, family)
        module = modules[layer.path]
        weight = module.base_layer.weight
        delta = tensors[f"{name}.lora_up.weight"].flatten(1) @ tensors[f"{name}.lora_down.weight"].flatten(1)
        merged = weight + delta.reshape(weight.shape) * tensors[f"{name}.alpha"] / layer.rank
        # LyCORIS: apply_weight_decompose with wd_on_out
        norm = merged.flatten(1).norm(dim=1).reshape(-1, *[1] * (weight.ndim - 1))
        assert tensors[f"{name}.dora_scale"].shape == norm.shape
        decomposed = tensors[f"{name}.dora_scale"] / norm * merged
        module.merge()
        torch.testing.assert_close(decomposed, module.base_layer.weight, atol=1e-5, rtol=1e-4)
        module.unmerge()


SD15_NAMES = {
    "lora_unet_down_blocks_0_attentions_0_proj_in",
    "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q",
    "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_out_0",
    "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_ff_net_0_proj",
    "lora_unet_mid_block_attentions_0_proj_out",
    "lora_te_text_model_encoder_layers_0_self_attn_q_proj",
    "lora_te_text_model_encoder_layers_0_mlp_fc1",
}
SDXL_NAMES = {
    "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_k",
    "lora_unet_middle_block_1_transformer_blocks_0_attn2_to_v",
    "lora_unet_output_blocks_0_1_proj_in",
    "lora_te1_text_model_encoder_layers_0_self_attn_q_proj",
    "lora_te2_text_model_encoder_layers_0_mlp_fc1",
}


def test_kohya_names_are_those_of_sd_scripts(tiny: tuple[str, TinyBase], base: ImageBase) -> None:
    family, _ = tiny
    trained_layers = adapted(base, configured(lora_rank=4))
    tensors = kohya.kohya_tensors(trained_layers, family, torch.float16)
    names = {key.partition(".")[0] for key in tensors}
    assert len(names) == len(trained_layers)
    assert names >= (SD15_NAMES if family == "sd15" else SDXL_NAMES)
    assert {key.partition(".")[2] for key in tensors} == {"lora_down.weight", "lora_up.weight", "alpha"}
    beginnings = ("lora_unet_", "lora_te_text_model_encoder_layers_")
    if family == "sdxl":
        beginnings = (
            "lora_unet_input_blocks_", "lora_unet_middle_block_1_", "lora_unet_output_blocks_",
            "lora_te1_text_model_encoder_layers_", "lora_te2_text_model_encoder_layers_",
        )  # fmt: skip
    for beginning in beginnings:
        assert any(name.startswith(beginning) for name in names)
    assert all(name.startswith(beginnings) for name in names)


def test_a_text_encoder_is_named_alike_with_and_without_text_model() -> None:
    flat = LoraLayer("text_encoder", "encoder.layers.0.mlp.fc1", torch.zeros(4, 8), torch.zeros(8, 4), 4.0)
    nested = replace(flat, path="text_model.encoder.layers.0.mlp.fc1")
    for family, prefix in (("sd15", "lora_te"), ("sdxl", "lora_te1")):
        keys = kohya.kohya_tensors([flat], family, torch.float32).keys()
        assert keys == kohya.kohya_tensors([nested], family, torch.float32).keys()
        assert f"{prefix}_text_model_encoder_layers_0_mlp_fc1.alpha" in keys
    keys = diffusers_format.diffusers_tensors([flat], torch.float32).keys()
    assert keys == diffusers_format.diffusers_tensors([nested], torch.float32).keys()
    assert "text_encoder.text_model.encoder.layers.0.mlp.fc1.lora_A.weight" in keys


def test_names_straight_from_the_modules_would_be_wrong(tiny_sd15: TinyBase) -> None:
    """Holds as long as the installed transformers has the flattened CLIPTextModel; this is what the exporter mends."""
    base = load_image_base(tiny_sd15.checkpoint, tiny_sd15.config, "sd15")
    naive = {
        f"lora_te_{layer.path.replace('.', '_')}" for layer in adapted(base, configured()) if layer.component == "text_encoder"
    }
    assert not naive & SD15_NAMES


def test_shapes_and_types_in_the_file(tiny_sd15: TinyBase, tmp_path: Path) -> None:
    base = load_image_base(tiny_sd15.checkpoint, tiny_sd15.config, "sd15")
    [path] = kohya.write(adapted(base, configured(lora_rank=4, lora_alpha=2)), "sd15", export_to(tmp_path, torch.bfloat16))
    tensors = load_file(path)
    name = "lora_unet_down_blocks_0_attentions_0_proj_in"
    assert tensors[f"{name}.lora_down.weight"].shape == (4, 32, 1, 1)
    assert tensors[f"{name}.lora_up.weight"].shape == (32, 4, 1, 1)
    assert tensors[f"{name}.alpha"].shape == ()
    assert tensors[f"{name}.alpha"].item() == 2
    assert {tensor.dtype for key, tensor in tensors.items() if not key.endswith("alpha")} == {torch.bfloat16}


def test_rslora_is_written_as_the_alpha_that_gives_its_scale(tmp_path: Path) -> None:
    layer = LoraLayer("unet", "conv_in", torch.ones(16, 8), torch.ones(8, 16), 8.0, rslora=True)
    [path] = kohya.write([layer], "sd15", export_to(tmp_path))
    assert load_file(path)["lora_unet_conv_in.alpha"].item() / 16 == pytest.approx(8 / 16**0.5)
    with safe_open(path, framework="pt") as opened:
        assert opened.metadata()["ss_network_alpha"] == "32.0"


def test_the_header_says_what_the_web_uis_look_for(tiny: tuple[str, TinyBase], tmp_path: Path) -> None:
    family, _ = tiny
    layer = LoraLayer("unet", "conv_in", torch.ones(4, 8), torch.ones(8, 4), 2.0)
    config = {"learning_rate": 2e-4, "seed": 42, "resolution": None, "text_encoder_learning_rate": None, "trigger_word": "sks"}
    facts = {"lorafleet_config": json.dumps(config), "lorafleet_step": "100", "ss_num_train_images": "7"}
    [path] = kohya.write([layer], family, export_to(tmp_path, **facts))
    with safe_open(path, framework="pt") as opened:
        header = opened.metadata()
    sdxl = family == "sdxl"
    assert header["ss_v2"] == "False"
    assert header["ss_base_model_version"] == ("sdxl_base_v1-0" if sdxl else "sd_v1")
    assert (header["ss_network_module"], header["ss_network_dim"], header["ss_network_alpha"]) == ("networks.lora", "4", "2.0")
    assert json.loads(header["ss_network_args"]) == {}
    assert (header["ss_output_name"], header["ss_learning_rate"], header["ss_seed"], header["ss_steps"]) == (
        "style",
        "0.0002",
        "42",
        "100",
    )
    assert header["ss_num_train_images"] == "7"
    assert "ss_text_encoder_lr" not in header
    assert header["modelspec.architecture"] == ("stable-diffusion-xl-v1-base/lora" if sdxl else "stable-diffusion-v1/lora")
    assert header["modelspec.resolution"] == ("1024x1024" if sdxl else "512x512")
    assert {"modelspec.sai_model_spec", "modelspec.implementation", "modelspec.title"} <= header.keys()
    assert header["modelspec.trigger_phrase"] == "sks"
    assert header["lorafleet_config"] == json.dumps(config)
    assert str(tmp_path) not in str(header)
