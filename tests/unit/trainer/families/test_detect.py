import json
import os
import tempfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lorafleet.contracts.problems import ConfigError, NoInputError
from trainer.families.detect import classify, detect_family, recognize
from trainer.tiny.stable_diffusion import TinyBase

UNET = "model.diffusion_model.input_blocks.0.0.weight"


@pytest.mark.parametrize(
    ("names", "family", "words"),
    [
        ([UNET, "cond_stage_model.transformer.text_model.final_layer_norm.bias"], "sd15", "Stable Diffusion 1"),
        ([UNET, "conditioner.embedders.1.model.ln_final.bias"], "sdxl", "SDXL"),
        ([UNET, "cond_stage_model.model.ln_final.bias"], None, "Stable Diffusion 2"),
        ([UNET, "conditioner.embedders.0.model.ln_final.bias"], None, "refiner"),
        ([UNET], None, "without text encoder"),
        (["lora_unet_mid_block_attentions_0_proj_in.lora_down.weight"], None, "a LoRA"),
        (["unet.mid_block.attentions.0.proj_in.lora_A.weight"], None, "a LoRA"),
        (["model.diffusion_model.double_blocks.0.img_attn.qkv.weight"], None, "Flux"),
        (["model.diffusion_model.joint_blocks.0.x.weight"], None, "Stable Diffusion 3"),
        (["down_blocks.0.resnets.0.conv1.weight"], None, "one component"),
        (["emb_params"], None, "no model"),
        ([], None, "no model"),
    ],
)
def test_a_file_is_known_by_the_names_of_its_tensors(names: list[str], family: str | None, words: str) -> None:
    found, description = classify(names)
    assert found == family
    assert words in description


def test_the_tiny_bases_are_what_they_say(tiny: tuple[str, TinyBase]) -> None:
    family, base = tiny
    assert detect_family(base.checkpoint) == family


@pytest.mark.parametrize(
    ("files", "family", "words"),
    [
        ({"model_index.json": {"_class_name": "StableDiffusionXLPipeline"}}, "sdxl", "StableDiffusionXLPipeline"),
        (
            {"model_index.json": {"_class_name": "StableDiffusionPipeline"}, "unet/config.json": {"cross_attention_dim": 768}},
            "sd15",
            "",
        ),
        (
            {"model_index.json": {"_class_name": "StableDiffusionPipeline"}, "unet/config.json": {"cross_attention_dim": 1024}},
            None,
            "2.x",
        ),
        ({"model_index.json": {"_class_name": "FluxPipeline"}}, None, "FluxPipeline"),
        ({"config.json": {"architectures": ["Qwen2ForCausalLM"]}}, "causal_lm", "Qwen2ForCausalLM"),
        ({"config.json": {"architectures": ["BertForMaskedLM"]}}, None, "BertForMaskedLM"),
        ({"config.json": {"_class_name": "UNet2DConditionModel"}}, None, "UNet2DConditionModel"),
        ({"readme.json": {}}, None, "without model_index.json"),
    ],
)
def test_a_folder_is_known_by_its_index(tmp_path: Path, files: dict[str, object], family: str | None, words: str) -> None:
    for name, value in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(value))
    found, description = recognize(tmp_path)
    assert found == family
    assert words in description


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".pth", ".bin", ".CKPT"])
def test_pickles_are_refused_with_the_reason_and_not_opened(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(ConfigError, match=r"run any code.*\.safetensors") as caught:
        detect_family(tmp_path / f"model{suffix}")
    assert "\n" not in str(caught.value)


def test_a_missing_a_short_and_a_foreign_file_are_one_line_each(tmp_path: Path) -> None:
    missing = tmp_path / "missing.safetensors"
    whole = tmp_path / "whole.safetensors"
    save_file({"x": torch.zeros(1000)}, whole)
    short = tmp_path / "short.safetensors"
    short.write_bytes(whole.read_bytes()[:500])
    noise = tmp_path / "noise.safetensors"
    noise.write_bytes(b"<!DOCTYPE html><html>404</html>" * 10)
    empty = tmp_path / "empty.safetensors"
    empty.touch()
    for path, words in ((missing, "no such file"), (short, "no whole"), (noise, "no whole"), (empty, "no whole")):
        with pytest.raises(NoInputError, match=words) as caught:
            detect_family(path)
        assert "\n" not in str(caught.value)
        assert path.name in str(caught.value)
    text = tmp_path / "model.txt"
    text.touch()
    with pytest.raises(ConfigError, match="folder"):
        detect_family(text)


def test_a_file_that_may_not_be_read_is_not_said_to_be_missing() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        file = Path(folder) / "model.safetensors"
        save_file({"a": torch.zeros(1)}, file)
        file.chmod(0o000)
        user = os.geteuid()
        try:
            if user == 0:
                os.seteuid(65534)
            with pytest.raises(NoInputError, match="Permission denied"):
                detect_family(file)
        finally:
            os.seteuid(user)


def test_a_broken_index_is_named(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("{")
    with pytest.raises(ConfigError, match=r"model_index\.json.*not JSON"):
        detect_family(tmp_path)
