"""The image families against diffusers' own pieces, and what their caches depend on."""

import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as functional
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr
from PIL import Image

from lorafleet.contracts.problems import ConfigError, DataError, NonFiniteError, Preempted
from lorafleet.contracts.training import TrainingConfig, from_mapping
from trainer import lora
from trainer.families.base import EncodedSet, MicroBatch, Placement, RowRef
from trainer.families.diffusion import DiffusionFamily, sd15, sdxl
from trainer.tiny.stable_diffusion import TinyBase, make_sd15, make_sdxl

CPU = Placement(torch.device("cpu"), torch.float32)


class Quiet:
    def check(self) -> None: ...

    def progress(self, what: str, done: int, total: int) -> None: ...


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TinyBase]:
    folder = tmp_path_factory.mktemp("bases")
    return {"sd15": make_sd15(folder / "sd15"), "sdxl": make_sdxl(folder / "sdxl")}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(5):
        size = (96, 64) if number == 4 else (64, 64)
        Image.frombytes("RGB", (8, 8), random.Random(number).randbytes(192)).resize(size).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"picture {number}")
    return folder


def config(kind: str, bases: dict[str, TinyBase], images: Path, **more: Any) -> TrainingConfig:
    base = bases[kind]
    values = {
        "train_data_dir": str(images), "base_model": str(base.checkpoint), "base_config": str(base.config), "lora_rank": 2,
        "output_dir": str(images.parent / "out"), "resolution": 64, "bucket_step": 32, "batch_size": 2,
    }  # fmt: skip
    return from_mapping({**values, **more})


def ready(settings: TrainingConfig, kind: str = "sd15", inject: bool = True) -> tuple[DiffusionFamily, EncodedSet]:
    family = (sdxl if kind == "sdxl" else sd15)(settings)
    family.read(Quiet())
    family.load(CPU, Quiet())
    if inject:
        for component, module in family.adapted().items():
            lora.inject(component, module, settings, family.targets(component))
    data, _ = family.encode(Quiet())
    return family, data


def reference_loss(
    family: DiffusionFamily, batch: MicroBatch, kind: str, captions: list[str], images: list[Path], **scheduler: Any
) -> Any:
    """The loss as diffusers' training scripts compute it, from pixels and captions, with the same noise."""
    base, tensors = family._base, batch.tensors
    noise_scheduler = DDPMScheduler.from_config({**base.scheduler_config, **scheduler})
    with torch.no_grad():
        rows = []
        for path in images:
            data = torch.frombuffer(bytearray(Image.open(path).convert("RGB").tobytes()), dtype=torch.uint8)
            rows.append(data.view(64, 64, 3).permute(2, 0, 1).float() / 127.5 - 1)
        posterior = base.vae.encode(torch.stack(rows)).latent_dist
        latents = (posterior.mean + posterior.std * tensors["posterior"]) * base.vae.config.scaling_factor

        def ids(tokenizer: Any) -> torch.Tensor:
            return tokenizer(captions, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids

        extra = None
        if kind == "sd15":
            hidden = base.text_encoders[0](ids(base.tokenizers[0]))[0]
        else:
            outputs = [
                encoder(ids(tokenizer), output_hidden_states=True)
                for encoder, tokenizer in zip(base.text_encoders, base.tokenizers, strict=True)
            ]
            hidden = torch.cat([output.hidden_states[-2] for output in outputs], dim=-1)
            extra = {"text_embeds": outputs[1][0], "time_ids": torch.tensor([[64.0, 64, 0, 0, 64, 64]] * len(captions))}
    noisy = noise_scheduler.add_noise(latents, tensors["noise"], tensors["timestep"])
    prediction = base.unet(noisy, tensors["timestep"], hidden, added_cond_kwargs=extra).sample
    velocity = noise_scheduler.config.prediction_type == "v_prediction"
    target = noise_scheduler.get_velocity(latents, tensors["noise"], tensors["timestep"]) if velocity else tensors["noise"]
    losses = functional.mse_loss(prediction, target, reduction="none").mean(dim=(1, 2, 3))
    return losses, compute_snr(noise_scheduler, tensors["timestep"])


REFS = [RowRef(0, 11), RowRef(2, 12), RowRef(3, 13)]
CAPTIONS = ["picture 0", "picture 2", "picture 3"]


@pytest.mark.parametrize("kind", ["sd15", "sdxl"])
@pytest.mark.parametrize("cached", [True, False])
def test_the_loss_is_that_of_diffusers_scripts(kind: str, cached: bool, bases: dict[str, TinyBase], images: Path) -> None:
    family, data = ready(config(kind, bases, images, cache_latents=cached, cache_text=cached), kind)
    batch = data.collate(REFS)
    assert set(batch.tensors) >= ({"moments", "hidden"} if cached else {"pixels", "ids_0"})
    losses, _ = reference_loss(family, batch, kind, CAPTIONS, [images / f"{ref.index}.png" for ref in REFS])
    assert float(family.loss(batch)) == pytest.approx(float(losses.sum()), rel=1e-5)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_min_snr_weighs_as_diffusers_does(prediction: str, bases: dict[str, TinyBase], images: Path) -> None:
    family, data = ready(config("sd15", bases, images, min_snr_gamma=5, prediction_type=prediction))
    batch = data.collate(REFS)
    paths = [images / f"{ref.index}.png" for ref in REFS]
    losses, snr = reference_loss(family, batch, "sd15", CAPTIONS, paths, prediction_type=prediction)
    smallest = torch.stack([snr, torch.full_like(snr, 5)], dim=1).min(dim=1)[0]
    weights = smallest / snr if prediction == "epsilon" else smallest / (snr + 1)
    assert float(family.loss(batch)) == pytest.approx(float((losses * weights).sum()), rel=1e-5)


def test_zero_terminal_snr_wants_v_prediction_and_ends_in_pure_noise(bases: dict[str, TinyBase], images: Path) -> None:
    with pytest.raises(ConfigError, match="v-prediction"):
        ready(config("sd15", bases, images, zero_terminal_snr=True))
    family, _ = ready(config("sd15", bases, images, zero_terminal_snr=True, prediction_type="v_prediction"))
    assert float(family._noise_scheduler.alphas_cumprod[-1]) < 1e-6


def test_a_batch_cut_in_two_gives_the_same_sum(bases: dict[str, TinyBase], images: Path) -> None:
    family, data = ready(config("sd15", bases, images))
    batch = data.collate(REFS)
    halves = sum(float(family.loss(half)) for half in batch.halves())
    assert float(family.loss(batch)) == pytest.approx(halves, rel=1e-5)


def test_a_row_depends_on_its_seed_alone(bases: dict[str, TinyBase], images: Path) -> None:
    _, data = ready(config("sd15", bases, images, augmentations=["flip"], caption_dropout=0.5, noise_offset=0.1))
    alone, together = data.collate([REFS[1]]), data.collate(REFS)
    for name in alone.tensors:
        assert torch.equal(alone.tensors[name][0], together.tensors[name][1])
    assert not torch.equal(together.tensors["noise"][0], together.tensors["noise"][1])


def test_recomputed_activations_change_no_gradient(bases: dict[str, TinyBase], images: Path) -> None:
    family, data = ready(config("sd15", bases, images, train_text_encoder=True))
    batch = data.collate(REFS)
    parameters = lora.parameters(family.adapted())
    gradients = []
    for on in (False, True):
        family.gradient_checkpointing(on)
        family.loss(batch).backward()
        gradients.append({name: parameter.grad.clone() for name, parameter in parameters.items() if parameter.grad is not None})
        for parameter in parameters.values():
            parameter.grad = None
    assert gradients[0].keys() == gradients[1].keys()
    assert all(torch.allclose(gradients[0][name], gradients[1][name], atol=1e-6) for name in gradients[0])
    assert any("text_encoder" in name for name in gradients[0])


def cached_files(images: Path) -> set[str]:
    return {path.name for path in (images.parent / "out" / "cache").rglob("*.safetensors")}


def test_caches_follow_content_and_not_names(bases: dict[str, TinyBase], images: Path) -> None:
    settings = config("sd15", bases, images)
    ready(settings)
    first = cached_files(images)
    assert len(first) == 5 + 6  # five images; five captions and the empty one
    (images / "0.png").rename(images / "renamed.png")
    (images / "0.txt").rename(images / "renamed.txt")
    ready(settings)
    assert cached_files(images) == first
    picture = Image.open(images / "1.png")
    picture.putpixel((0, 0), (1, 2, 3))
    picture.save(images / "1.png")
    ready(settings)
    second = cached_files(images)
    assert len(second - first) == 1
    (images / "2.txt").write_text("another caption")
    ready(settings)
    third = cached_files(images)
    assert len(third - second) == 1
    ready(config("sd15", {"sd15": make_sd15(images.parent / "other", seed=9)}, images))
    assert len(cached_files(images) - third) == 11


def test_a_damaged_cache_entry_is_made_again(bases: dict[str, TinyBase], images: Path) -> None:
    settings = config("sd15", bases, images)
    _, data = ready(settings)
    before = data.collate(REFS).tensors
    for path in (images.parent / "out" / "cache").rglob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:40])
    _, data = ready(settings)
    after = data.collate(REFS).tensors
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_latents_that_are_not_finite_stop_the_run_with_the_files_name(bases: dict[str, TinyBase], images: Path) -> None:
    family = sd15(config("sd15", bases, images))
    family.read(Quiet())
    family.load(CPU, Quiet())
    next(iter(family._base.vae.parameters())).data.fill_(float("nan"))
    with pytest.raises(NonFiniteError, match=r"0\.png"):
        family.encode(Quiet())


def test_encoding_obeys_sigterm_and_keeps_what_it_has(bases: dict[str, TinyBase], images: Path) -> None:
    class StopsAtThird(Quiet):
        calls = 0

        def check(self) -> None:
            self.calls += 1
            if self.calls == 3:
                raise Preempted("told to stop")

    family = sd15(config("sd15", bases, images))
    family.read(Quiet())
    family.load(CPU, Quiet())
    with pytest.raises(Preempted):
        family.encode(StopsAtThird())
    assert len(cached_files(images)) == 2


def test_flips_train_on_both_sides_and_are_cached(bases: dict[str, TinyBase], images: Path) -> None:
    _, data = ready(config("sd15", bases, images, augmentations=["flip"]))
    moments = [data.collate([RowRef(0, seed)]).tensors["moments"] for seed in range(20)]
    kinds = {tuple(tensor.flatten()[:8].tolist()) for tensor in moments}
    assert len(kinds) == 2


def test_dropped_captions_become_the_empty_one(bases: dict[str, TinyBase], images: Path) -> None:
    _, data = ready(config("sd15", bases, images, caption_dropout=0.5))
    states = [data.collate([RowRef(0, seed)]).tensors["hidden"] for seed in range(40)]
    kinds = {tuple(tensor.flatten()[:64].tolist()) for tensor in states}
    assert len(kinds) == 2


def test_the_trigger_word_goes_before_every_caption(bases: dict[str, TinyBase], images: Path) -> None:
    family = sd15(config("sd15", bases, images, trigger_word="ohwx"))
    family.read(Quiet())
    assert {example.caption for example in family._examples} == {f"ohwx, picture {number}" for number in range(5)}


def test_a_split_holds_out_the_same_pictures_whatever_they_are_called(bases: dict[str, TinyBase], images: Path) -> None:
    settings = config("sd15", bases, images, validation_split=0.4)

    def held_out() -> set[str]:
        family = sd15(settings)
        family.read(Quiet())
        assert len(family._examples) == 3
        return {example.sample.sha256 for example in family._validation}

    before = held_out()
    for number in range(5):
        shutil.move(images / f"{number}.png", images / f"z{9 - number}.png")
        shutil.move(images / f"{number}.txt", images / f"z{9 - number}.txt")
    assert held_out() == before


def test_a_split_that_leaves_nothing_is_refused(bases: dict[str, TinyBase], images: Path) -> None:
    for number in range(1, 5):
        (images / f"{number}.png").unlink()
        (images / f"{number}.txt").unlink()
    with pytest.raises(DataError, match="leaves nothing of 1"):
        sd15(config("sd15", bases, images, validation_split=0.5)).read(Quiet())


@pytest.mark.parametrize("kind", ["sd15", "sdxl"])
def test_samples_repeat_and_leave_the_mode_as_it_was(kind: str, bases: dict[str, TinyBase], images: Path) -> None:
    family, _ = ready(config(kind, bases, images, sample_steps=2), kind)
    family.adapted()["unet"].train()
    first, second = (family.sample(["a", "b"], 3, Quiet()) for _ in range(2))
    assert [sample.image.tobytes() for sample in first] == [sample.image.tobytes() for sample in second]
    assert first[0].image.tobytes() != first[1].image.tobytes()
    assert first[0].image.size == (64, 64)
    assert family.adapted()["unet"].training


@pytest.mark.parametrize("targets", ["attention", "transformer", ["to_k"]])
def test_targets(targets: Any, bases: dict[str, TinyBase], images: Path) -> None:
    family, _ = ready(config("sd15", bases, images, lora_targets=targets, train_text_encoder=True))
    layers = list(lora.layers("unet", family.adapted()["unet"]))
    # SD 1.5's topology: 16 transformer blocks, 8 attention projections and 4 others each; see kohya's count of 192.
    assert len(layers) == {"attention": 128, "transformer": 192}.get(str(targets), 32)
    assert {layer.up.dtype for layer in layers} == {torch.float32}


def test_targets_that_match_nothing_are_refused(bases: dict[str, TinyBase], images: Path) -> None:
    with pytest.raises(ConfigError, match="nothing in the unet matches"):
        ready(config("sd15", bases, images, lora_targets=["to_nothing"]))


def test_sdxl_is_told_the_pictures_real_size(bases: dict[str, TinyBase], images: Path) -> None:
    Image.new("RGB", (200, 100), "red").save(images / "0.png")
    _, data = ready(config("sdxl", bases, images, buckets=False), "sdxl")
    assert data.collate([RowRef(0, 1)]).tensors["time_ids"].tolist() == [[100.0, 200.0, 0.0, 32.0, 64.0, 64.0]]
