"""``lorafleet demo``: a LoRA trained on real photographs, from nothing, in about two minutes on a laptop."""

import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from lorafleet.contracts.training import TrainingConfig, from_mapping
from lorafleet.demo.photographs import PHOTOGRAPHS, check_installed, write_photographs
from lorafleet.demo.proof import load_in_diffusers


def demo(
    directory: Annotated[Path, typer.Argument(help="Where the demo puts its files.")] = Path("demo"),
    steps: Annotated[int, typer.Option(help="Training steps.", min=2)] = 60,
) -> None:
    """Train a LoRA on real photographs over a tiny base that it makes itself, and load the result in diffusers."""
    check_installed()
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
