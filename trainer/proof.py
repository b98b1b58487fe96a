"""Proofs on what was trained: other tools load it, and it is what an undisturbed run gives."""

from pathlib import Path


def load_in_diffusers(base: Path, base_config: Path, weights: Path) -> float:
    """Load base and LoRA with diffusers alone; return how far the LoRA moves the UNet's output, relative to its norm."""
    import torch
    from diffusers import StableDiffusionPipeline
    from diffusers.utils.logging import disable_progress_bar

    disable_progress_bar()
    pipeline = StableDiffusionPipeline.from_single_file(
        str(base), config=str(base_config), local_files_only=True, safety_checker=None, requires_safety_checker=False
    )
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(1, pipeline.unet.config.in_channels, 16, 16, generator=generator)
    states = torch.randn(1, 77, pipeline.unet.config.cross_attention_dim, generator=generator)
    with torch.no_grad():
        before = pipeline.unet(latents, 10, states).sample
        pipeline.load_lora_weights(str(weights.parent), weight_name=weights.name)
        after = pipeline.unet(latents, 10, states).sample
    return float((after - before).norm() / before.norm())


def same_weights(one: Path, other: Path) -> bool:
    """Whether two files hold the same tensors, bit for bit."""
    import torch
    from safetensors.torch import load_file

    first, second = load_file(one), load_file(other)
    return first.keys() == second.keys() and all(torch.equal(tensor, second[name]) for name, tensor in first.items())
