import shutil
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors.torch import load_file, save_file

from lorafleet.contracts.problems import ConfigError, NoInputError
from trainer.digests import sha256_of
from trainer.families.image_base import ImageBase, load_image_base
from trainer.tiny.stable_diffusion import TinyBase

PIPELINES = {"sd15": StableDiffusionPipeline, "sdxl": StableDiffusionXLPipeline}
PREFIXES = {
    "sd15": ("model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer."),
    "sdxl": (
        "model.diffusion_model.",
        "first_stage_model.",
        "conditioner.embedders.0.transformer.",
        "conditioner.embedders.1.model.",
    ),
}


def modules(base: ImageBase) -> list[torch.nn.Module]:
    return [base.unet, base.vae, *base.text_encoders]


def same(one: ImageBase, other: ImageBase) -> bool:
    pairs = [(first.state_dict(), second.state_dict()) for first, second in zip(modules(one), modules(other), strict=True)]
    return all(
        first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first) for first, second in pairs
    )


@pytest.fixture(scope="module")
def folders(tiny_sd15: TinyBase, tiny_sdxl: TinyBase, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The tiny bases as diffusers itself writes folders."""
    root = tmp_path_factory.mktemp("folders")
    for family, base in (("sd15", tiny_sd15), ("sdxl", tiny_sdxl)):
        pipeline = PIPELINES[family].from_single_file(str(base.checkpoint), config=str(base.config), local_files_only=True)
        pipeline.save_pretrained(root / family)
    return {family: root / family for family in PIPELINES}


def test_a_single_file_loads_without_asking_the_hub(tiny: tuple[str, TinyBase], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    family, tiny_base = tiny
    base = load_image_base(tiny_base.checkpoint, tiny_base.config, family)
    assert base.family == family
    assert len(base.text_encoders) == len(base.tokenizers) == len(PREFIXES[family]) - 2
    assert base.scheduler_config["prediction_type"] == "epsilon"
    assert base.scheduler_config["beta_schedule"] == "scaled_linear"
    assert base.weights_sha256 == sha256_of(tiny_base.checkpoint)
    for module in modules(base):
        assert not module.training
        assert not any(parameter.requires_grad or parameter.is_meta for parameter in module.parameters())
        assert not any(buffer.is_meta for buffer in module.buffers())


def test_the_models_are_those_that_diffusers_reads_from_the_same_file(tiny: tuple[str, TinyBase]) -> None:
    family, tiny_base = tiny
    base = load_image_base(tiny_base.checkpoint, tiny_base.config, family)
    pipeline = PIPELINES[family].from_single_file(str(tiny_base.checkpoint), config=str(tiny_base.config), local_files_only=True)
    theirs = [pipeline.unet, pipeline.vae, pipeline.text_encoder, *([pipeline.text_encoder_2] if family == "sdxl" else [])]
    ids = torch.tensor([base.tokenizers[0]("a photo of a cat", padding="max_length").input_ids])
    for our, their in zip(modules(base), theirs, strict=True):
        assert type(our) is type(their)
        weights = our.state_dict()
        for name, tensor in their.state_dict().items():
            assert torch.equal(weights[name], tensor), name
    for our, their in zip(base.text_encoders, theirs[2:], strict=True):
        assert torch.equal(our(ids)[0], their(ids)[0])
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(base.vae.encode(image).latent_dist.mean, pipeline.vae.encode(image).latent_dist.mean)
    assert base.tokenizers[-1].pad_token == ("!" if family == "sdxl" else "<|endoftext|>")


def test_a_diffusers_folder_gives_the_same_model(folders: dict[str, Path], tiny: tuple[str, TinyBase]) -> None:
    family, tiny_base = tiny
    from_folder = load_image_base(folders[family], None, family)
    assert same(from_folder, load_image_base(tiny_base.checkpoint, tiny_base.config, family))
    assert from_folder.tokenizers[0]("a cat").input_ids[0] == from_folder.tokenizers[0].bos_token_id
    assert from_folder.digest != load_image_base(tiny_base.checkpoint, tiny_base.config, family).digest


def test_an_fp16_variant_and_the_first_names_of_the_vae_are_read(
    folders: dict[str, Path], tmp_path: Path, tiny_sd15: TinyBase
) -> None:
    folder = shutil.copytree(folders["sd15"], tmp_path / "old")
    unet = folder / "unet" / "diffusion_pytorch_model.safetensors"
    unet.rename(unet.with_name("diffusion_pytorch_model.fp16.safetensors"))
    vae = folder / "vae" / "diffusion_pytorch_model.safetensors"
    old_names = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    tensors = {}
    for name, tensor in load_file(vae).items():
        for new, old in old_names.items():
            name = name.replace(new, old)
        tensors[name] = tensor
    assert any(".proj_attn." in name for name in tensors)
    save_file(tensors, vae)
    assert same(load_image_base(folder, None, "sd15"), load_image_base(tiny_sd15.checkpoint, tiny_sd15.config, "sd15"))


def test_weights_are_of_the_wanted_type_but_the_vae_is_fp32(tiny_sd15: TinyBase) -> None:
    base = load_image_base(tiny_sd15.checkpoint, tiny_sd15.config, "sd15", dtype=torch.bfloat16)
    assert {parameter.dtype for module in (base.unet, *base.text_encoders) for parameter in module.parameters()} == {torch.bfloat16}
    assert {parameter.dtype for parameter in base.vae.parameters()} == {torch.float32}


def test_the_model_does_not_hold_on_to_the_file(tiny_sd15: TinyBase, tmp_path: Path) -> None:
    copy = shutil.copy(tiny_sd15.checkpoint, tmp_path / "base.safetensors")
    base = load_image_base(copy, tiny_sd15.config, "sd15")
    copy.write_bytes(b"")
    assert same(base, load_image_base(tiny_sd15.checkpoint, tiny_sd15.config, "sd15"))


def changed(
    tiny_base: TinyBase,
    target: Path,
    drop: str = "",
    add: dict[str, torch.Tensor] | None = None,
    replace: tuple[str, str] = ("", ""),
) -> Path:
    tensors = {
        key.replace(*replace) if replace[0] else key: tensor
        for key, tensor in load_file(tiny_base.checkpoint).items()
        if key != drop
    }
    save_file({**tensors, **(add or {})}, target)
    return target


def test_a_tensor_that_is_not_there_is_named_for_every_component(tiny: tuple[str, TinyBase], tmp_path: Path) -> None:
    family, tiny_base = tiny
    keys = list(load_file(tiny_base.checkpoint))
    for prefix in PREFIXES[family]:
        dropped = [key for key in keys if key.startswith(prefix)][-1]
        file = changed(tiny_base, tmp_path / "short.safetensors", drop=dropped)
        with pytest.raises(ConfigError) as caught:
            load_image_base(file, tiny_base.config, family)
        assert dropped in str(caught.value)
        assert len(caught.value.problems) == 1


def test_a_whole_component_that_is_not_there_is_named(tiny_sd15: TinyBase, tmp_path: Path) -> None:
    tensors = {key: tensor for key, tensor in load_file(tiny_sd15.checkpoint).items() if not key.startswith("first_stage_model.")}
    save_file(tensors, tmp_path / "no_vae.safetensors")
    with pytest.raises(ConfigError, match="holds no VAE"):
        load_image_base(tmp_path / "no_vae.safetensors", tiny_sd15.config, "sd15")


def test_tensors_of_another_architecture_are_refused(tiny_sd15: TinyBase, tmp_path: Path) -> None:
    strange = "model.diffusion_model.input_blocks.1.2.extra.weight"
    file = changed(tiny_sd15, tmp_path / "strange.safetensors", add={strange: torch.zeros(1)})
    with pytest.raises(ConfigError, match=r"does not know.*input_blocks\.1\.2\.extra"):
        load_image_base(file, tiny_sd15.config, "sd15")


def test_what_real_files_carry_besides_the_model_is_ignored(tiny: tuple[str, TinyBase], tmp_path: Path) -> None:
    family, tiny_base = tiny
    text = "cond_stage_model.transformer" if family == "sd15" else "conditioner.embedders.0.transformer"
    junk = {
        "betas": torch.zeros(1000),
        "model_ema.decay": torch.zeros(()),
        "model_ema.diffusion_modelinput_blocks00weight": torch.zeros(3),
        "first_stage_model.loss.logvar": torch.zeros(()),
        f"{text}.text_model.embeddings.position_ids": torch.arange(77)[None],
    }
    if family == "sdxl":
        junk["conditioner.embedders.1.model.logit_scale"] = torch.zeros(())
    file = changed(tiny_base, tmp_path / "junk.safetensors", add=junk)
    assert same(load_image_base(file, tiny_base.config, family), load_image_base(tiny_base.checkpoint, tiny_base.config, family))


def test_a_file_without_text_model_in_its_names_is_read(tiny_sd15: TinyBase, tmp_path: Path) -> None:
    file = changed(tiny_sd15, tmp_path / "flat.safetensors", replace=("transformer.text_model.", "transformer."))
    assert same(load_image_base(file, tiny_sd15.config, "sd15"), load_image_base(tiny_sd15.checkpoint, tiny_sd15.config, "sd15"))


def test_v_prediction_is_read_from_the_file(tiny_sdxl: TinyBase, tmp_path: Path) -> None:
    marks = {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}
    base = load_image_base(changed(tiny_sdxl, tmp_path / "v.safetensors", add=marks), tiny_sdxl.config, "sdxl")
    assert base.scheduler_config["prediction_type"] == "v_prediction"
    assert base.scheduler_config["rescale_betas_zero_snr"] is True


def test_sizes_that_do_not_fit_point_to_base_config(tiny_sd15: TinyBase) -> None:
    with pytest.raises(ConfigError, match=r"32x4x3x3, the config says 320x4x3x3.*base_config"):
        load_image_base(tiny_sd15.checkpoint, None, "sd15")


def test_a_base_of_another_kind_is_refused_in_one_line(tiny_sd15: TinyBase, tiny_sdxl: TinyBase, tmp_path: Path) -> None:
    lora = tmp_path / "lora.safetensors"
    save_file({"lora_unet_mid_block_attentions_0_proj_in.lora_down.weight": torch.zeros(4, 4)}, lora)
    for file, family, words in (
        (tiny_sdxl.checkpoint, "sd15", r"an SDXL model.*set family: sdxl"),
        (tiny_sd15.checkpoint, "sdxl", r"Stable Diffusion 1\.x.*set family: sd15"),
        (lora, "sd15", "a LoRA, not a base"),
    ):
        with pytest.raises(ConfigError, match=words) as caught:
            load_image_base(file, None, family)
        assert "\n" not in str(caught.value)


def test_missing_files_are_named(tiny_sd15: TinyBase, folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(NoInputError, match="no such file"):
        load_image_base(tmp_path / "nothing.safetensors", None, "sd15")
    with pytest.raises(NoInputError, match=r"nowhere/unet/config\.json.*diffusers folder"):
        load_image_base(tiny_sd15.checkpoint, tmp_path / "nowhere", "sd15")
    folder = shutil.copytree(folders["sd15"], tmp_path / "pickled")
    (folder / "vae" / "diffusion_pytorch_model.safetensors").rename(folder / "vae" / "diffusion_pytorch_model.bin")
    with pytest.raises(ConfigError, match="pickles"):
        load_image_base(folder, None, "sd15")
    (folder / "vae" / "diffusion_pytorch_model.bin").unlink()
    with pytest.raises(NoInputError, match=r"vae/diffusion_pytorch_model\.safetensors"):
        load_image_base(folder, None, "sd15")


def test_a_config_folder_without_vocabulary_means_the_standard_one(tiny_sdxl: TinyBase, tmp_path: Path) -> None:
    config = shutil.copytree(tiny_sdxl.config, tmp_path / "config")
    for tokenizer in ("tokenizer", "tokenizer_2"):
        for name in ("vocab.json", "merges.txt"):
            (config / tokenizer / name).unlink()
    base = load_image_base(tiny_sdxl.checkpoint, config, "sdxl")
    for tokenizer, padding in zip(base.tokenizers, (49407, 0), strict=True):
        assert tokenizer("a photo of a cat", padding="max_length").input_ids[:8] == [
            49406,
            320,
            1125,
            539,
            320,
            2368,
            49407,
            padding,
        ]


def test_the_digest_depends_on_configs_and_vocabulary(tiny_sd15: TinyBase, tmp_path: Path) -> None:
    base = load_image_base(tiny_sd15.checkpoint, tiny_sd15.config, "sd15")
    config = shutil.copytree(tiny_sd15.config, tmp_path / "config")
    assert load_image_base(tiny_sd15.checkpoint, config, "sd15").digest == base.digest
    vae = config / "vae" / "config.json"
    vae.write_text(vae.read_text().replace("0.18215", "0.5"))
    other = load_image_base(tiny_sd15.checkpoint, config, "sd15")
    assert other.digest != base.digest
    assert other.weights_sha256 == base.weights_sha256
