"""Sample files: one folder a step, and one picture with a row per step and a column per prompt."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from lorafleet.whole_files import replacing, write_whole
from trainer.families.base import Sample

_CELL = 256
_MARGIN = 28
_LABEL = 96


def save(root: Path, step: int, samples: Sequence[Sample]) -> list[Path]:
    """Write samples of a step under ``root/step-00000100/`` and draw ``root/grid.png`` anew.

    Raises:
        OSError: the disk refused.
    """
    folder = root / f"step-{step:08d}"
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number, sample in enumerate(samples):
        if sample.image is not None:
            path = folder / f"prompt-{number}.png"
            _save_image(sample.image, path)
        else:
            path = folder / f"prompt-{number}.txt"
            write_whole(path, f"{sample.prompt}\n---\n{sample.text}\n", durable=False)
        written.append(path)
    if any(sample.image is not None for sample in samples):
        _save_image(grid(root, [sample.prompt for sample in samples]), root / "grid.png")
    return written


def grid(root: Path, prompts: Sequence[str]) -> Image.Image:
    """All sample images under ``root``: rows are steps in order, columns are prompts."""
    steps = sorted(folder for folder in root.glob("step-*") if folder.is_dir())
    width, height = _LABEL + _CELL * len(prompts), _MARGIN + _CELL * len(steps)
    picture = Image.new("RGB", (width, height), "white")
    drawing = ImageDraw.Draw(picture)
    for column, prompt in enumerate(prompts):
        drawing.text((_LABEL + column * _CELL + 4, 8), _shorten(prompt), fill="black")
    for row, folder in enumerate(steps):
        drawing.text((8, _MARGIN + row * _CELL + _CELL // 2), f"step {int(folder.name[5:])}", fill="black")
        for column in range(len(prompts)):
            path = folder / f"prompt-{column}.png"
            if path.exists():
                with Image.open(path) as image:
                    picture.paste(
                        image.convert("RGB").resize((_CELL - 4, _CELL - 4)), (_LABEL + column * _CELL, _MARGIN + row * _CELL)
                    )
    return picture


def _shorten(prompt: str) -> str:
    return prompt if len(prompt) <= 38 else prompt[:37] + "…"


def _save_image(image: Image.Image, path: Path) -> None:
    with replacing(path, durable=False) as building:
        image.save(building, format="PNG")
