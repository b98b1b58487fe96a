"""The places in a job's configuration: only the worker knows where data, base models and outputs lie on its machine."""

from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Any

from lorafleet.contracts.problems import ConfigError
from lorafleet.contracts.training import TrainingConfig

# What is being published must not be pruned meanwhile.
_KEPT_CHECKPOINTS = 3

WANDB_KEY = "WANDB_API_KEY"


def local_config(
    training: TrainingConfig, *, name: str, folder: Path, resume: Path | None, models: Path | None, cache: Path | None, device: str,
    secrets: Collection[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """The job's configuration with this machine's places: ``folder`` holds ``data`` and gets ``output``.

    Whatever the job names itself is relative, to the data set or to the root of the models. A team that has the key of Weights &
    Biases among the names of its ``secrets`` finds its runs there too.

    Raises:
        ConfigError: a name leads elsewhere, or there is no such file.
    """
    data = folder / "data"
    changes: dict[str, Any] = {
        "train_data_dir": str(data),
        "output_dir": str(folder / "output"),
        "output_name": training.output_name or name,
        "cache_dir": str(cache or folder / "cache"),
        "resume": str(resume) if resume is not None else "never",
        "device": device,
        "loggers": [*training.loggers, *(["wandb"] if WANDB_KEY in secrets and "wandb" not in training.loggers else [])],
        "keep_checkpoints": max(training.keep_checkpoints, _KEPT_CHECKPOINTS),
        "base_model": str(_below("base_model", training.base_model, models, "--models")),
    }
    for key in ("metadata_path", "validation_data_dir"):
        if (value := getattr(training, key)) is not None:
            changes[key] = str(_below(key, value, data, "the data set"))
    for key in ("base_config", "chat_template"):
        if (value := getattr(training, key)) is not None:
            changes[key] = str(_below(key, value, models, "--models"))
    # It becomes a file's name and a part of its key.
    name = changes["output_name"]
    if name in (".", "..") or "/" in name or "\\" in name or not name.isprintable():
        raise ConfigError("output_name is a name without slashes", where=name)
    return training.model_copy(update=changes).model_dump(mode="json")


def _below(key: str, value: str, root: Path | None, where: str) -> Path:
    parts = PurePosixPath(value).parts
    if "://" in value or "\\" in value or not parts or parts[0] == "/" or ".." in parts:
        raise ConfigError(f"{key} is a relative path below {where}", where=value, hint="name it as the worker's site has it")
    if root is None:
        raise ConfigError(f"{key}: this worker has no models", where=value, hint="start the worker with --models FOLDER")
    path = (root / value).resolve()
    if not path.is_relative_to(root.resolve()):
        raise ConfigError(f"{key} leads out of {where}", where=value)
    if not path.exists():
        raise ConfigError(f"{key}: there is no such file or folder below {where}", where=value, hint="check its name")
    return path
