"""Checkpoints: a folder that is either whole and proven by its manifest, or not there.

Layout of ``checkpoints/step-00000100/``: ``lora.safetensors``, ``optimizer.safetensors``, ``state.json``, the exported weights, and
``MANIFEST.json`` with the size and SHA-256 of each of them, written last. The folder is built under a hidden name and renamed.
"""

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lorafleet.contracts.problems import ConfigError
from lorafleet.whole_files import sync
from trainer.digests import sha256_of

FORMAT = 1
MANIFEST = "MANIFEST.json"
_STEP_FOLDER = re.compile(r"step-(\d{8})$")


@dataclass(frozen=True)
class Position:
    """Where a run stands: ``step`` steps are done. With the seed this is all the randomness there is (see trainer.randomness)."""

    step: int
    epoch: int
    position_in_epoch: int
    seed: int


@dataclass(frozen=True)
class State:
    """Everything that a later process needs to go on. ``optimizer`` is a tree as ``trainer.state_tree`` splits it."""

    position: Position
    lora: Mapping[str, Tensor]
    optimizer: Any
    optimizer_tensors: Mapping[str, Tensor]
    scheduler: Mapping[str, Any] = field(default_factory=dict)
    scaler: Mapping[str, Any] = field(default_factory=dict)
    micro_batch: int = 0
    fingerprint: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def folder_name(step: int) -> str:
    """The folder of a step."""
    return f"step-{step:08d}"


def step_of(folder: Path) -> int | None:
    """The step of a checkpoint folder, or None for any other name."""
    match = _STEP_FOLDER.match(folder.name)
    return int(match.group(1)) if match else None


def write(root: Path, state: State, export: Callable[[Path], object] | None = None) -> Path:
    """Write a checkpoint and return its folder. ``export`` may put more files into the folder before it becomes visible.

    Raises:
        OSError: the disk refused; nothing is left behind.
    """
    root.mkdir(parents=True, exist_ok=True)
    target = root / folder_name(state.position.step)
    building = root / f".{target.name}.{os.getpid()}"
    shutil.rmtree(building, ignore_errors=True)
    try:
        building.mkdir()
        save_file(dict(state.lora), building / "lora.safetensors")
        save_file(dict(state.optimizer_tensors), building / "optimizer.safetensors")
        facts = {
            "format": FORMAT,
            "position": asdict(state.position),
            "optimizer": state.optimizer,
            "scheduler": dict(state.scheduler),
            "scaler": dict(state.scaler),
            "micro_batch": state.micro_batch,
            "fingerprint": dict(state.fingerprint),
            "versions": dict(state.versions),
        }
        (building / "state.json").write_text(json.dumps(facts), encoding="utf-8")
        if export is not None:
            export(building)
        files = {path.relative_to(building).as_posix(): _describe(path) for path in sorted(building.rglob("*")) if path.is_file()}
        manifest = {"format": FORMAT, "step": state.position.step, "files": files}
        (building / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        for path in building.rglob("*"):
            sync(path)
        sync(building)
        if target.exists():
            shutil.rmtree(target)
        building.rename(target)
        sync(root)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return target


def read(folder: Path) -> State:
    """Read a checkpoint that :func:`is_whole`.

    Raises:
        ConfigError: it is damaged or of a newer format.
    """
    try:
        facts = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        if facts["format"] > FORMAT:
            raise ConfigError(
                f"this checkpoint has format {facts['format']}, newer than this trainer's {FORMAT}", where=str(folder)
            )
        return State(
            position=Position(**facts["position"]),
            lora=load_file(folder / "lora.safetensors"),
            optimizer=facts["optimizer"],
            optimizer_tensors=load_file(folder / "optimizer.safetensors"),
            scheduler=facts["scheduler"],
            scaler=facts["scaler"],
            micro_batch=facts["micro_batch"],
            fingerprint=facts["fingerprint"],
            versions=facts["versions"],
        )
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ConfigError(
            f"this checkpoint cannot be read: {type(error).__name__}",
            where=str(folder),
            hint="remove it; an older one is used instead",
        ) from None


def is_whole(folder: Path) -> bool:
    """Whether the manifest is there and every file in it has the size and SHA-256 that it says."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return all(_describe(folder / name) == entry for name, entry in manifest["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def all_steps(root: Path) -> list[Path]:
    """Checkpoint folders, oldest first, whole or not."""
    if not root.is_dir():
        return []
    return sorted(
        (folder for folder in root.iterdir() if step_of(folder) is not None and folder.is_dir()), key=lambda folder: folder.name
    )


def newest(root: Path) -> Path | None:
    """The newest whole checkpoint; damaged ones are passed over."""
    return next((folder for folder in reversed(all_steps(root)) if is_whole(folder)), None)


def prune(root: Path, keep: int) -> list[Path]:
    """Remove all but the newest ``keep`` checkpoints and what an earlier process left half-built; return what went."""
    for leftover in root.glob(".step-*"):
        if int(leftover.name.rpartition(".")[2]) != os.getpid():
            shutil.rmtree(leftover, ignore_errors=True)
    old = all_steps(root)[:-keep]
    for folder in old:
        # Without its manifest a half-removed checkpoint is never taken for a whole one.
        (folder / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
    return old


def _describe(path: Path) -> dict[str, Any]:
    return {"size": path.stat().st_size, "sha256": sha256_of(path)}
