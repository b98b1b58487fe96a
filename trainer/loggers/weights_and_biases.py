"""Weights & Biases. The key comes from the environment and is never read here."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import wandb

from trainer.loggers.base import RunFacts
from trainer.provenance import public_settings


class WandbLogger:
    """See :class:`~trainer.loggers.base.Logger`. A resumed run is the same run there: its id follows from the output folder."""

    def __init__(self) -> None:
        self._run: Any = None

    def start(self, run: RunFacts) -> None:
        """See :class:`~trainer.loggers.base.Logger`."""
        identity = sha256(f"{run.config.output_dir}\x1f{run.name}".encode()).hexdigest()[:16]
        self._run = wandb.init(
            project=run.config.wandb_project,
            name=run.name,
            id=identity,
            resume="allow",
            dir=str(run.directory),
            config=public_settings(run.config),
            settings=wandb.Settings(console="off", silent=True),
        )

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """See :class:`~trainer.loggers.base.Logger`."""
        self._run.log(dict(values), step=step)

    def image(self, step: int, name: str, path: Path) -> None:
        """See :class:`~trainer.loggers.base.Logger`."""
        self._run.log({name: wandb.Image(str(path))}, step=step)

    def text(self, step: int, name: str, text: str) -> None:
        """See :class:`~trainer.loggers.base.Logger`."""
        self._run.log({name: wandb.Html(text, inject=False)}, step=step)

    def finish(self, ended: str) -> None:
        """See :class:`~trainer.loggers.base.Logger`."""
        self._run.finish(exit_code=0 if ended == "finished" else 1)
