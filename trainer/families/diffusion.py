"""Stable Diffusion 1.5 and SDXL."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr
from torch import Tensor

from lorafleet.contracts.problems import ConfigError, NonFiniteError
from lorafleet.contracts.training import TrainingConfig
from lorafleet.datasets.buckets import bucket_table, choose_bucket
from lorafleet.datasets.checks import CheckReport, check_images
from lorafleet.datasets.images import ImageSet, read_image_set
from trainer.augmentations import Augmenter
from trainer.export import diffusers_format, kohya
from trainer.families.base import Control, EncodedSet, Export, MicroBatch, Placement, Sample
from trainer.families.conditioning import Conditioner, SD15Conditioner, SDXLConditioner, token_ids
from trainer.families.encodings import EncodingCache, key_of
from trainer.families.holdout import hold_out
from trainer.families.image_base import ImageBase, load_image_base
from trainer.families.image_data import TRANSFORM_VERSION, Example, ImageRows, pixels
from trainer.families.image_sampling import sample_images
from trainer.lora import LoraLayer
from trainer.losses import LOSSES

_UNET_TARGETS = {
    "attention": ["to_q", "to_k", "to_v", "to_out.0"],
    "transformer": ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"],
}
_TEXT_TARGETS = {
    "attention": ["q_proj", "k_proj", "v_proj", "out_proj"],
    "transformer": ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"],
}


class DiffusionFamily:
    """See :class:`trainer.families.base.Family`. ``conditioner`` is what tells the two architectures apart."""

    unit = "images"

    def __init__(self, name: str, config: TrainingConfig, conditioner: Conditioner) -> None:
        self.name = name
        self._config = config
        self._conditioner = conditioner
        self._augmenter = Augmenter(config.augmentations)
        self._row_loss = LOSSES.get(config.loss)
        self._base: ImageBase
        self._placement: Placement
        self._examples: list[Example] = []
        self._validation: list[Example] = []
        self._cache = EncodingCache(Path(config.cache_dir or Path(config.output_dir) / "cache"))

    @property
    def resolution(self) -> int:
        """The side in pixels of a square training image."""
        return self._config.resolution or self._conditioner.resolution

    @property
    def _trains_text(self) -> bool:
        return self._config.train_text_encoder

    @property
    def _caches_text(self) -> bool:
        return self._config.cache_text and not self._trains_text

    def read(self, control: Control) -> CheckReport:
        """See :class:`~trainer.families.base.Family`."""
        config = self._config
        images, report = self._read_set(config.train_data_dir, config.metadata_path, control)
        self._examples = self._bucketed(images)
        if config.validation_data_dir:
            self._validation = self._bucketed(self._read_set(config.validation_data_dir, None, control)[0])
        elif config.validation_split:
            self._examples, self._validation = hold_out(
                self._examples, lambda example: example.sample.sha256, config.validation_split, config.seed
            )
        return report

    def _read_set(self, folder: str, metadata: str | None, control: Control) -> tuple[ImageSet, CheckReport]:
        def progress(done: int, total: int) -> None:
            control.check()
            control.progress("reading images", done, total)

        config = self._config
        images = read_image_set(Path(folder), Path(metadata) if metadata else None, progress)
        report = check_images(
            images,
            resolution=self.resolution,
            bucket_step=config.bucket_step,
            upscale=config.bucket_upscale,
            lora_rank=config.lora_rank,
            buckets=config.buckets,
            batch_size=config.batch_size,
        )
        report.raise_if_bad(config.strict_data)
        return images, report

    def _bucketed(self, images: ImageSet) -> list[Example]:
        config = self._config
        table = bucket_table(self.resolution, config.bucket_step)
        if not config.buckets:
            table = tuple(bucket for bucket in table if bucket.width == bucket.height)
        trigger = config.trigger_word.strip()
        examples = []
        for sample in images.samples:
            bucket = choose_bucket(sample.width, sample.height, table, upscale=config.bucket_upscale, step=config.bucket_step)
            caption = ", ".join(part for part in (trigger, sample.caption) if part)
            examples.append(Example(sample, bucket, caption))
        return examples

    def load(self, placement: Placement, control: Control) -> None:
        """See :class:`~trainer.families.base.Family`."""
        config = self._config
        self._placement = placement
        control.progress("loading the base model", 0, 1)
        self._base = load_image_base(
            Path(config.base_model), Path(config.base_config) if config.base_config else None, self.name, dtype=placement.compute
        )
        base = self._base
        if config.channels_last:
            base.unet.to(memory_format=torch.channels_last)
            base.vae.to(memory_format=torch.channels_last)
        base.unet.to(placement.device)
        # The VAE overflows in fp16 (SDXL's gives NaN), and it runs once per image.
        base.vae.to(placement.device, torch.float32)
        for module in (base.unet, base.vae, *base.text_encoders):
            module.requires_grad_(False)
            module.eval()
        for encoder in base.text_encoders:
            encoder.to(placement.device)
        self._noise_scheduler = self._make_scheduler(base.scheduler_config)
        control.progress("loading the base model", 1, 1)

    def _make_scheduler(self, base_config: Mapping[str, Any]) -> DDPMScheduler:
        config = self._config
        values = {**base_config, "rescale_betas_zero_snr": config.zero_terminal_snr}
        if config.prediction_type != "auto":
            values["prediction_type"] = config.prediction_type
        if config.zero_terminal_snr and values.get("prediction_type") != "v_prediction":
            raise ConfigError(
                "zero_terminal_snr needs a model with v-prediction", hint="set prediction_type: v_prediction if the base has it"
            )
        return DDPMScheduler.from_config(values)

    def adapted(self) -> Mapping[str, Any]:
        """See :class:`~trainer.families.base.Family`."""
        modules = {"unet": self._base.unet}
        if self._trains_text:
            names = ("text_encoder", "text_encoder_2")
            modules |= dict(zip(names, self._base.text_encoders, strict=False))
        return modules

    def targets(self, component: str) -> str | list[str]:
        """See :class:`~trainer.families.base.Family`."""
        wanted = self._config.lora_targets
        if component == "unet":
            return wanted if isinstance(wanted, list) else _UNET_TARGETS[wanted]
        return _TEXT_TARGETS["attention" if isinstance(wanted, list) else wanted]

    def encode(self, control: Control) -> tuple[EncodedSet, EncodedSet | None]:
        """See :class:`~trainer.families.base.Family`."""
        everything = [*self._examples, *self._validation]
        if self._config.cache_latents:
            work = [(example, variant) for example in everything for variant in range(self._augmenter.variants)]
            for done, (example, variant) in enumerate(work):
                control.check()
                self._moments(example, variant)
                control.progress("encoding images", done + 1, len(work))
        if self._caches_text:
            captions = sorted({example.caption for example in everything} | {""})
            for done, caption in enumerate(captions):
                control.check()
                self._text_states(caption)
                control.progress("encoding captions", done + 1, len(captions))
        self._rest(resting=True)
        training = self._rows(self._examples, self._augmenter.variants, self._config.caption_dropout)
        validation = self._rows(self._validation, 1, 0.0) if self._validation else None
        return training, validation

    def _rows(self, examples: Sequence[Example], variants: int, caption_dropout: float) -> ImageRows:
        def image_part(example: Example, variant: int) -> Mapping[str, Tensor]:
            if self._config.cache_latents:
                return {"moments": self._moments(example, variant)}
            return {"pixels": pixels(example, self._augmenter, variant)}

        def text_part(caption: str) -> Mapping[str, Tensor]:
            return self._text_states(caption) if self._caches_text else self._ids(caption)

        return ImageRows(
            examples,
            image_part=image_part,
            text_part=text_part,
            variants=variants,
            caption_dropout=caption_dropout,
            timesteps=int(self._noise_scheduler.config.num_train_timesteps),
            noise_offset=self._config.noise_offset,
            latent_channels=int(self._base.vae.config.latent_channels),
            latent_stride=2 ** (len(self._base.vae.config.block_out_channels) - 1),
            sizes=self._conditioner.sizes,
            threads=1 if self._config.cache_latents else 4,
        )

    def _ids(self, caption: str) -> dict[str, Tensor]:
        return {f"ids_{number}": ids for number, ids in enumerate(token_ids(self._base.tokenizers, caption))}

    @torch.no_grad()
    def _moments(self, example: Example, variant: int) -> Tensor:
        """Mean and log variance of the VAE's posterior, (2 x channels, height, width), through the cache."""
        key = key_of(
            "moments",
            TRANSFORM_VERSION,
            self._augmenter.version,
            example.sample.sha256,
            self._base.digest,
            *example.bucket,
            variant,
        )
        cached = self._cache.get(key)
        if cached is not None:
            return cached["moments"]
        # One image at a time: another batch size may round differently, and a run resumed while encoding must not differ.
        image = self._laid_out(pixels(example, self._augmenter, variant)[None].to(self._placement.device))
        moments: Tensor = self._base.vae.encode(image).latent_dist.parameters[0].float().cpu()
        if not torch.isfinite(moments).all():
            raise NonFiniteError(
                "the VAE gives NaN or infinity for this image", where=str(example.sample.path), hint="check or remove the image"
            )
        self._cache.put(key, {"moments": moments})
        return moments

    @torch.no_grad()
    def _text_states(self, caption: str) -> Mapping[str, Tensor]:
        key = key_of("text", self.name, self._base.digest, str(self._placement.compute), caption)
        cached = self._cache.get(key)
        if cached is not None:
            return cached
        ids = [row[None].to(self._placement.device) for row in token_ids(self._base.tokenizers, caption)]
        states = {name: tensor[0].cpu() for name, tensor in self._conditioner.encode(self._base.text_encoders, ids).items()}
        self._cache.put(key, states)
        return states

    def _rest(self, resting: bool) -> None:
        """Move what the steps do not need off the device, or back."""
        away = torch.device("cpu") if resting else self._placement.device
        if self._config.cache_latents:
            self._base.vae.to(away)
        if self._caches_text:
            for encoder in self._base.text_encoders:
                encoder.to(away)
        if resting and self._placement.device.type == "cuda":
            torch.cuda.empty_cache()

    def loss(self, batch: MicroBatch) -> Tensor:
        """See :class:`~trainer.families.base.Family`."""
        tensors = batch.tensors
        latents = self._latents(tensors)
        timesteps = tensors["timestep"]
        noise = tensors["noise"].to(latents.dtype)
        scheduler = self._noise_scheduler
        noisy = scheduler.add_noise(latents, noise, timesteps)
        predicts_velocity = scheduler.config.prediction_type == "v_prediction"
        target = scheduler.get_velocity(latents, noise, timesteps) if predicts_velocity else noise
        condition = self._condition(tensors)
        extra = {"text_embeds": condition["pooled"], "time_ids": tensors["time_ids"]} if self._conditioner.sizes else None
        prediction = self._base.unet(
            self._laid_out(noisy).to(self._placement.compute),
            timesteps,
            condition["hidden"],
            added_cond_kwargs=extra,
            return_dict=False,
        )[0]
        losses = self._row_loss(prediction.float(), target.float())
        gamma = self._config.min_snr_gamma
        if gamma is not None:
            # Hang et al. 2023 (arXiv 2303.09556): min(SNR, gamma) / SNR for epsilon, / (SNR + 1) for velocity.
            snr = compute_snr(scheduler, timesteps)
            losses = losses * torch.clamp(snr, max=gamma) / (snr + 1 if predicts_velocity else snr.clamp(min=1e-8))
        return losses.sum()

    @torch.no_grad()
    def _latents(self, tensors: Mapping[str, Tensor]) -> Tensor:
        moments = tensors.get("moments")
        if moments is None:
            with torch.autocast(self._placement.device.type, enabled=False):
                moments = self._base.vae.encode(self._laid_out(tensors["pixels"])).latent_dist.parameters.float()
        mean, log_variance = moments.chunk(2, dim=1)
        deviation = torch.exp(0.5 * log_variance.clamp(-30.0, 20.0))
        latents: Tensor = (mean + deviation * tensors["posterior"]) * self._base.vae.config.scaling_factor
        return latents

    def _laid_out(self, images: Tensor) -> Tensor:
        return images.contiguous(memory_format=torch.channels_last if self._config.channels_last else torch.contiguous_format)

    def _condition(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        if "hidden" in tensors:
            return tensors
        ids = [tensors[f"ids_{number}"] for number in range(len(self._base.tokenizers))]
        with torch.set_grad_enabled(self._trains_text and torch.is_grad_enabled()):
            return self._conditioner.encode(self._base.text_encoders, ids)

    def gradient_checkpointing(self, on: bool) -> None:
        """See :class:`~trainer.families.base.Family`."""
        unet, *encoders = self.adapted().values()
        (unet.enable_gradient_checkpointing if on else unet.disable_gradient_checkpointing)()
        for encoder in encoders:
            (encoder.activation_checkpointing_enable if on else encoder.activation_checkpointing_disable)()
        for module in (unet, *encoders):
            # Both libraries recompute only in training mode.
            module.train()

    def sample(self, prompts: Sequence[str], seed: int, control: Control) -> list[Sample]:
        """See :class:`~trainer.families.base.Family`."""
        self._rest(resting=False)
        try:
            return sample_images(
                self._base, self._noise_scheduler, self._config, self._placement, self.resolution, prompts, seed, control
            )
        finally:
            self._rest(resting=True)

    def metadata(self) -> Mapping[str, str]:
        """See :class:`~trainer.families.base.Family`."""
        digests = sorted(f"{example.sample.sha256} {example.caption}" for example in self._examples)
        histogram: dict[str, int] = {}
        for example in self._examples:
            size = f"{example.bucket.width}x{example.bucket.height}"
            histogram[size] = histogram.get(size, 0) + 1
        return {
            "lorafleet_data_sha256": key_of(*digests),
            "lorafleet_base_sha256": self._base.digest,
            "lorafleet_buckets": ", ".join(f"{size} x{count}" for size, count in sorted(histogram.items())),
            "ss_num_train_images": str(len(self._examples)),
            "ss_num_reg_images": "0",
            "ss_sd_model_name": Path(self._config.base_model).name,
            "ss_new_sd_model_hash": self._base.weights_sha256,
        }

    def export(self, layers: Sequence[LoraLayer], export: Export) -> list[Path]:
        """See :class:`~trainer.families.base.Family`."""
        if export.format == "peft":
            raise ConfigError("export_format: peft is for language models", hint="use kohya or diffusers")
        writer = diffusers_format.write if export.format == "diffusers" else kohya.write
        return writer(layers, self.name, export)


def sd15(config: TrainingConfig) -> DiffusionFamily:
    """The Stable Diffusion 1.x family."""
    return DiffusionFamily("sd15", config, SD15Conditioner())


def sdxl(config: TrainingConfig) -> DiffusionFamily:
    """The Stable Diffusion XL family."""
    return DiffusionFamily("sdxl", config, SDXLConditioner())
