"""Sample images while training, through diffusers' own pipelines."""

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline

from lorafleet.contracts.training import TrainingConfig
from trainer.families.base import Control, Placement, Sample
from trainer.families.image_base import ImageBase
from trainer.placement import autocast
from trainer.randomness import generator


@torch.no_grad()
def sample_images(
    base: ImageBase,
    scheduler: Any,
    config: TrainingConfig,
    placement: Placement,
    resolution: int,
    prompts: Sequence[str],
    seed: int,
    control: Control,
) -> list[Sample]:
    """One square image a prompt; the noise depends on ``seed`` and the prompt's position alone.

    Raises:
        Preempted, Interrupted: between two denoising steps.
    """
    modes = [(module, module.training) for module in (base.unet, *base.text_encoders)]
    for module, _ in modes:
        module.eval()
    pipeline = _pipeline(base, DDIMScheduler.from_config(scheduler.config))
    pipeline.set_progress_bar_config(disable=True)
    total = len(prompts) * config.sample_steps

    def after_step(pipe: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        control.check()
        control.progress("sampling", number * config.sample_steps + index + 1, total)
        return tensors

    samples = []
    try:
        for number, prompt in enumerate(prompts):
            with autocast(placement):
                latents = pipeline(
                    prompt,
                    height=resolution,
                    width=resolution,
                    num_inference_steps=config.sample_steps,
                    guidance_scale=config.sample_guidance,
                    generator=generator(seed, "sample", number),
                    output_type="latent",
                    callback_on_step_end=after_step,
                ).images
            # Outside autocast: the VAE needs fp32.
            decoded = base.vae.decode(latents.float() / base.vae.config.scaling_factor).sample
            image = pipeline.image_processor.postprocess(decoded, output_type="pil")[0]
            samples.append(Sample(prompt, image=image))
    finally:
        for module, mode in modes:
            module.train(mode)
    return samples


def _pipeline(base: ImageBase, scheduler: Any) -> Any:
    parts = {"vae": base.vae, "unet": base.unet, "scheduler": scheduler}
    if len(base.text_encoders) == 1:
        return StableDiffusionPipeline(
            **parts,
            text_encoder=base.text_encoders[0],
            tokenizer=base.tokenizers[0],
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    return StableDiffusionXLPipeline(
        **parts,
        text_encoder=base.text_encoders[0],
        tokenizer=base.tokenizers[0],
        text_encoder_2=base.text_encoders[1],
        tokenizer_2=base.tokenizers[1],
        add_watermarker=False,
    )
