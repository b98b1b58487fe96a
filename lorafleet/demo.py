"""``lorafleet demo``: a LoRA trained on real photographs, from nothing, in about two minutes on a laptop."""

import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from lorafleet.contracts.problems import UnavailableError
from lorafleet.contracts.training import TrainingConfig, from_mapping

# Photographs that scikit-image's wheel carries, free to use (public domain or CC0), with captions written for them.
PHOTOGRAPHS = {
    "astronaut": "a portrait of an astronaut in an orange suit in front of a flag and a shuttle model",
    "cat": "a tabby cat looking to the side, close up",
    "coffee": "a cup of black coffee on a saucer with a spoon on a wooden table",
    "rocket": "a rocket on its launch pad at dusk",
    "hubble_deep_field": "thousands of distant galaxies in the black of space",
    "retina": "the retina of an eye with fine red vessels",
    "camera": "a black and white photograph of a man behind a camera on a tripod",
    "brick": "a wall of rough grey bricks",
    "grass": "a lawn seen from above, blades of grass in every direction",
    "gravel": "gravel on the ground, stones of many sizes",
}
SIZE = 512


def demo(
    directory: Annotated[Path, typer.Argument(help="Where the demo puts its files.")] = Path("demo"),
    steps: Annotated[int, typer.Option(help="Training steps.", min=2)] = 60,
) -> None:
    """Train a LoRA on real photographs over a tiny base that it makes itself, and load the result in diffusers."""
    try:
        import skimage.data  # noqa: F401
    except ImportError:
        raise UnavailableError(
            "the demo's photographs are in scikit-image, which is not installed", hint="pip install 'lorafleet[demo]'"
        ) from None
    from rich.console import Console

    from trainer.run import LoRATrainer
    from trainer.tiny.stable_diffusion import make_sd15

    console = Console(highlight=False, soft_wrap=True)
    console.print("[bold]lorafleet demo[/bold]: a LoRA on real photographs, from images to a file that other tools load\n")
    if directory.exists():
        shutil.rmtree(directory)
    photographs = write_photographs(directory / "photos")
    console.print(f"1. {len(PHOTOGRAPHS)} photographs with captions in {photographs}")
    base = make_sd15(directory / "base")
    console.print(f"2. a tiny base model in Stable Diffusion's own file format: {base.checkpoint}")
    console.print("   [yellow]Its weights are random: pictures it makes are noise. It shows the way, not the art.[/yellow]")
    config = configuration(directory, photographs, base.checkpoint, base.config, steps)
    console.print("3. training\n")
    trainer = LoRATrainer(config)
    trainer.prepare_data()
    trainer.build_model()
    result = trainer.train()
    weights = result.files[0]
    console.print(
        f"\n   {result.steps} steps, {result.steps_per_second:.2f} steps/s, {result.rows_per_second:.1f} images/s, "
        f"{result.beside_share:.1%} of the time beside training"
    )
    change = load_in_diffusers(base.checkpoint, base.config, weights)
    console.print(f"4. diffusers loads {weights.name}: with it the model's output differs by {change:.2%}\n")
    console.print("[bold]Written[/bold]")
    for path in (
        weights,
        directory / "lora" / "loss.png",
        directory / "lora" / "samples" / "grid.png",
        directory / "lora" / "log.jsonl",
    ):
        console.print(f"  {path}")
    console.print("\n[bold]Next, with a real base model[/bold]")
    console.print("  1. put v1-5-pruned.safetensors into models/Stable-diffusion/ and your pictures into data/style_train/")
    console.print("  2. lorafleet data caption-csv data/style_train     then write your captions into metadata.csv")
    console.print("  3. lorafleet data check data/style_train && lorafleet train configs/default.yaml")


def configuration(directory: Path, photographs: Path, base: Path, base_config: Path, steps: int) -> TrainingConfig:
    """The demo's run: small pictures, everything else as a real one."""
    values: dict[str, Any] = {
        "train_data_dir": str(photographs),
        "metadata_path": str(photographs / "metadata.csv"),
        "base_model": str(base),
        "base_config": str(base_config),
        "output_dir": str(directory / "lora"),
        "output_name": "demo_lora",
        "resolution": 128,
        "bucket_step": 32,
        "lora_rank": 8,
        "lora_targets": "transformer",
        "batch_size": 4,
        "epochs": steps,
        "max_steps": steps,
        "learning_rate": "1e-3",
        "scheduler": "cosine",
        "validation_split": 0.2,
        "augmentations": ["flip"],
        "save_steps": max(1, steps // 3),
        "log_every": 1,
        "validate_every": max(1, steps // 6),
        "loggers": ["jsonl", "tensorboard"],
        "sample_prompts": [PHOTOGRAPHS["cat"], PHOTOGRAPHS["rocket"]],
        "sample_every": max(1, steps // 2),
        "sample_steps": 6,
    }
    return from_mapping(values)


def write_photographs(folder: Path) -> Path:
    """Write the photographs as PNG files of at most :data:`SIZE` pixels, with a metadata.csv."""
    import csv

    import numpy as np
    import skimage.data
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file_name", "text"))
        for name, caption in PHOTOGRAPHS.items():
            image = Image.fromarray(np.asarray(getattr(skimage.data, name)())).convert("RGB")
            image.thumbnail((SIZE * 2, SIZE * 2))
            image.save(folder / f"{name}.png")
            writer.writerow((f"{name}.png", caption))
    return folder


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
