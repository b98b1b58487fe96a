"""``lorafleet demo``: a LoRA trained on real photographs, from nothing, in about two minutes on a laptop."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lorafleet.contracts.training import TrainingConfig, from_mapping
from lorafleet.demo.photographs import PHOTOGRAPHS, check_installed, write_photographs
from lorafleet.demo.services import wait_for_ctrl_c
from lorafleet.demo.two_sites import fleet, lose_a_site
from trainer.proof import load_in_diffusers, same_weights

if TYPE_CHECKING:
    from rich.console import Console

    from trainer.tiny.stable_diffusion import TinyBase


def demo(
    directory: Annotated[Path, typer.Argument(help="Where the demo puts its files.")] = Path("demo"),
    steps: Annotated[int, typer.Option(help="Training steps.", min=12)] = 60,
    serve: Annotated[bool, typer.Option("--serve", help="Keep the console up afterwards, until Ctrl-C.")] = False,
) -> None:
    """Train a LoRA on real photographs, twice: alone, and on two sites of which one is killed in the middle.

    The base model is a tiny one that the demo makes itself; the result is loaded in diffusers.
    """
    check_installed()
    from rich.console import Console

    from trainer.tiny.stable_diffusion import make_sd15

    console = Console(highlight=False, soft_wrap=True)

    def say(text: str) -> None:
        console.print(f"   {text}", markup=False)

    console.print("[bold]lorafleet demo[/bold]: a LoRA on real photographs, from images to a file that other tools load\n")
    if directory.exists():
        shutil.rmtree(directory)
    photographs = write_photographs(directory / "photos")
    console.print(f"1. {len(PHOTOGRAPHS)} photographs with captions in {photographs}")
    base = make_sd15(directory / "base")
    console.print(f"2. a tiny base model in Stable Diffusion's own file format: {base.checkpoint}")
    console.print("   [yellow]Its weights are random: pictures it makes are noise. It shows the way, not the art.[/yellow]")
    console.print("3. training, alone\n")
    weights = _train_alone(directory, photographs, base, steps, say)
    change = load_in_diffusers(base.checkpoint, base.config, weights)
    console.print(f"4. diffusers loads {weights.name}: with it the model's output differs by {change:.2%}")
    console.print("5. the same job through the console, on two sites; one of them dies")
    with fleet(directory / "fleet", directory / "base") as running:
        console.print(
            f"   console, a store and a worker for each of {' and '.join(running.sites)}; logs in {directory / 'fleet' / 'logs'}"
        )
        training = configuration(directory, photographs, base.checkpoint, base.config, steps)
        outcome = lose_a_site(running, photographs, job_training(training, base), directory / "fleet", say)
        equal = "equal those of step 3, bit for bit" if same_weights(weights, outcome.weights) else "differ from those of step 3"
        console.print(
            f"6. {outcome.killed} was lost once step {outcome.killed_at_step} was published; {outcome.taken_over_by} trained on from "
            f"step {outcome.resumed_from_step} after {outcome.seconds_until_training:.1f} s\n   its weights {equal}: {outcome.weights}\n"
        )
        _tell_what_is_next(console, directory, weights, outcome.weights)
        if serve:
            console.print(f"\n[bold]The console[/bold] (Ctrl-C ends it; the address opens once)\n  {running.page}")
            wait_for_ctrl_c()
        else:
            console.print("\nTo look at it all in the console's pages: [bold]make demo SERVE=1[/bold]")


def _train_alone(directory: Path, photographs: Path, base: "TinyBase", steps: int, say: Callable[[str], None]) -> Path:
    from trainer.run import LoRATrainer

    trainer = LoRATrainer(configuration(directory, photographs, base.checkpoint, base.config, steps))
    trainer.prepare_data()
    trainer.build_model()
    result = trainer.train()
    say(
        f"{result.steps} steps, {result.steps_per_second:.2f} steps/s, {result.rows_per_second:.1f} images/s, "
        f"{result.beside_share:.1%} of the time beside training"
    )
    return result.files[0]


def _tell_what_is_next(console: "Console", directory: Path, *weights: Path) -> None:
    console.print("[bold]Written[/bold]")
    lora = directory / "lora"
    for path in (*weights, lora / "loss.png", lora / "samples" / "grid.png", lora / "log.jsonl"):
        console.print(f"  {path}")
    console.print("\n[bold]Next, with a real base model[/bold]")
    console.print("  1. put v1-5-pruned.safetensors into models/Stable-diffusion/ and your pictures into data/style_train/")
    console.print("  2. lorafleet data caption-csv data/style_train     then write your captions into metadata.csv")
    console.print("  3. lorafleet data check data/style_train && lorafleet train configs/default.yaml")


def job_training(config: TrainingConfig, base: "TinyBase") -> dict[str, Any]:
    """What of a configuration a job names: places are the worker's own, base models lie below its ``--models``."""
    from lorafleet.contracts.console_api import NOT_SETTABLE

    keys = {key: value for key, value in config.model_dump(mode="json", exclude_unset=True).items() if key not in NOT_SETTABLE}
    return {
        **keys,
        "base_model": base.checkpoint.name,
        "base_config": base.config.name,
        "save_steps": max(1, config.save_steps // 2),
    }


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
