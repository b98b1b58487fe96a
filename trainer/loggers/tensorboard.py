"""TensorBoard event files in ``OUTPUT_DIR/tensorboard``."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from trainer.loggers.base import RunFacts


class TensorBoardLogger:
    """See :class:`~trainer.loggers.base.Logger`."""

    def __init__(self) -> None:
        self._writer: SummaryWriter

    def start(self, run: RunFacts) -> None:
        """Open a new event file; after a resume TensorBoard drops later steps of the older ones."""
        purge = run.resumed_step + 1 if run.resumed_step else None
        self._writer = SummaryWriter(str(run.directory / "tensorboard"), purge_step=purge)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """See :class:`~trainer.loggers.base.Logger`."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def image(self, step: int, name: str, path: Path) -> None:
        """See :class:`~trainer.loggers.base.Logger`."""
        with Image.open(path) as image:
            self._writer.add_image(name, np.asarray(image.convert("RGB")), step, dataformats="HWC")

    def text(self, step: int, name: str, text: str) -> None:
        """See :class:`~trainer.loggers.base.Logger`."""
        self._writer.add_text(name, text, step)

    def finish(self, ended: str) -> None:
        """See :class:`~trainer.loggers.base.Logger`."""
        self._writer.close()
