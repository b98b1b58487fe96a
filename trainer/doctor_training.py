"""The doctor's longest check: a tiny LoRA from pictures to a file that diffusers loads. A release's smoke Job asks for it."""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from lorafleet.contracts.checkup import CheckResult, SetupCheck
from trainer.doctor_checks import first_line
from trainer.proof import load_in_diffusers
from trainer.reporting import SilentReporter
from trainer.run import LoRATrainer
from trainer.tiny.stable_diffusion import make_sd15

STEPS = 4
_PICTURES = 4
_SIDE = 64


def check_training(device: str) -> SetupCheck:
    """Train :data:`STEPS` steps of a tiny Stable Diffusion on ``device``, export, and load the export with diffusers alone."""
    try:
        with tempfile.TemporaryDirectory(prefix="lorafleet-doctor-") as folder:
            loss, change = _train(Path(folder), device)
    except Exception as error:  # noqa: BLE001  (whatever the image's libraries do wrong is what is looked for)
        return SetupCheck(
            "training", CheckResult.FAIL, f"a tiny training failed: {first_line(error)}", "the image cannot train; take another"
        )
    if not change > 0:
        return SetupCheck(
            "training", CheckResult.FAIL, "the exported LoRA changes nothing", "diffusers and peft do not fit together"
        )
    return SetupCheck("training", CheckResult.OK, f"{STEPS} steps on {device}, loss {loss:.3f}; diffusers loads the LoRA")


def _train(folder: Path, device: str) -> tuple[float, float]:
    base = make_sd15(folder / "base")
    pictures = folder / "pictures"
    pictures.mkdir()
    random = np.random.default_rng(0)
    for number in range(_PICTURES):
        Image.fromarray(random.integers(0, 256, (_SIDE, _SIDE, 3), dtype=np.uint8)).save(pictures / f"{number}.png")
        (pictures / f"{number}.txt").write_text(f"picture {number}", encoding="utf-8")
    config = {
        "train_data_dir": str(pictures),
        "base_model": str(base.checkpoint),
        "base_config": str(base.config),
        "output_dir": str(folder / "lora"),
        "resolution": _SIDE,
        "bucket_step": 32,
        "lora_rank": 4,
        "batch_size": 2,
        "epochs": STEPS,
        "max_steps": STEPS,
        "learning_rate": 1e-3,
        "device": device,
    }
    result = LoRATrainer(config, reporter=SilentReporter()).train()
    return result.loss, load_in_diffusers(base.checkpoint, base.config, result.files[0])
