"""Where a run reads and writes: remote data and bases are brought here, and a remote output folder has a local twin."""

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from lorafleet.contracts.problems import ConfigError, NoInputError
from lorafleet.contracts.training import TrainingConfig
from trainer import checkpoint, saving
from trainer.outputs import Outputs
from trainer.reporting import Reporter
from trainer.signals import StopRequests
from trainer.storage.fetch import fetch
from trainer.storage.locations import Location, parse_location
from trainer.storage.publish import Publisher
from trainer.storage.resume import fetch_checkpoint

_ROOM_TO_START = 16 << 20


@dataclass(frozen=True)
class RunControl:
    """A :class:`trainer.families.base.Control` over this process's signals and reporter."""

    stop: StopRequests
    reporter: Reporter

    def check(self) -> None:
        """See :class:`~trainer.families.base.Control`."""
        self.stop.check()

    def progress(self, what: str, done: int, total: int) -> None:
        """See :class:`~trainer.families.base.Control`."""
        self.reporter.phase(what, done, total)

    def warn(self, text: str) -> None:
        """See :class:`~trainer.families.base.Control`."""
        self.reporter.warn(text)


class Workspace:
    """The local side of a run. ``directory`` is the output folder, or the twin of a remote one."""

    def __init__(self, config: TrainingConfig, reporter: Reporter, stop: StopRequests) -> None:
        self._config = config
        self._output = parse_location(config.output_dir)
        self.control = RunControl(stop, reporter)
        self.directory = self._output.local_path if self._output.is_local else work_directory(config.output_dir)
        publisher = None if self._output.is_local else Publisher(self.directory, self._output, warn=reporter.warn, check=stop.check)
        self.outputs = Outputs(self.directory, config, reporter, publisher)

    def open(self) -> TrainingConfig:
        """Prove that the output folder can be written, bring what is remote, and return the configuration with local paths.

        Raises:
            NoInputError: data or base are not there.
            StorageError: a store or disk refuses.
        """
        config = self._config
        saving.prepare_output(self.directory, _ROOM_TO_START)
        if self.outputs.publisher is not None:
            self.outputs.publisher.prove()
        changes: dict[str, str] = {"output_dir": str(self.directory)}
        for key in ("train_data_dir", "metadata_path", "validation_data_dir", "base_model", "base_config"):
            value = getattr(config, key)
            if value is not None:
                changes[key] = str(self._local(key, parse_location(value)))
        return config.model_copy(update=changes)

    def checkpoint(self) -> Path | None:
        """The checkpoint to go on from, if any.

        Raises:
            ConfigError: ``resume`` names a folder that is no whole checkpoint.
        """
        resume = self._config.resume
        if resume == "never":
            return None
        if resume != "auto":
            folder = Path(resume)
            if not checkpoint.is_whole(folder):
                raise ConfigError(
                    "resume: this is no whole checkpoint",
                    where=resume,
                    hint="name a folder like OUTPUT_DIR/checkpoints/step-00000100",
                )
            return folder
        if not self._output.is_local:
            fetch_checkpoint(self._output, self.directory, self.control)
        return checkpoint.newest(self.outputs.checkpoints)

    def _local(self, key: str, location: Location) -> Path:
        if not location.is_local:
            return fetch(location, work_directory(str(location)), self.control)
        path = location.local_path
        if not path.exists():
            hint = "give a .safetensors file or a model folder" if key.startswith("base") else "check the path"
            raise NoInputError(f"{key}: there is no such file or folder", where=str(path), hint=hint)
        return path


def work_directory(url: str) -> Path:
    """The local twin of a remote location: stable, so that a later process finds what an earlier one fetched."""
    root = Path(os.environ.get("LORAFLEET_WORK_DIR") or Path.home() / ".cache" / "lorafleet" / "work")
    return root / f"{url.rstrip('/').rsplit('/', 1)[-1]}-{sha256(url.encode()).hexdigest()[:12]}"
