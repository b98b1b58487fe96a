"""Everything that a run writes into its output folder, and from there to the store it belongs to."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lorafleet.contracts.problems import StorageError
from lorafleet.contracts.training import TrainingConfig
from lorafleet.datasets.checks import CheckReport
from lorafleet.whole_files import write_whole
from trainer import checkpoint, samples
from trainer.checkpoint import State
from trainer.families.base import Control, Family
from trainer.loggers.base import RunFacts
from trainer.loggers.group import LoggerGroup
from trainer.reporting import Reporter
from trainer.saving import CheckpointWriter, describe
from trainer.storage.publish import Publisher

# Waits between tries to write the finished weights: whoever frees the disk within minutes loses nothing.
_RETRY_SECONDS = (1.0, 5.0, 15.0, 30.0, 60.0)
# SIGTERM leaves 30 s on some clouds; what is not uploaded by then waits on the local disk.
_STOP_FLUSH_SECONDS = 10.0


@dataclass
class Outputs:
    """One run's files in ``directory``; ``publisher`` copies them to a store, or is None."""

    directory: Path
    config: TrainingConfig
    reporter: Reporter
    publisher: Publisher | None = None
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        self._writer = CheckpointWriter(self.checkpoints, self.config.keep_checkpoints, self._written, self.reporter.warn)
        self._loggers: LoggerGroup | None = None

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints are."""
        return self.directory / "checkpoints"

    def write_report(self, report: CheckReport) -> None:
        """Keep the data check's report beside the weights."""
        write_whole(self.directory / "data-report.json", report.as_json() + "\n")

    def start(self, step: int, total: int, steps_per_epoch: int, facts: Mapping[str, str]) -> None:
        """Open the loggers."""
        run = RunFacts(
            name=self.config.name, directory=self.directory, config=self.config, resumed_step=step, total_steps=total, facts=facts
        )
        self._loggers = LoggerGroup.open(run, self.reporter.warn)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of a step, for the loggers and for machines."""
        if self._loggers is not None:
            self._loggers.scalars(step, values)
        self.reporter.event("scalars", {"step": step, **values})

    def sample(self, step: int, family: Family, control: Control) -> None:
        """Draw samples with the weights as they are; a disk that refuses them ends nothing."""
        if not self.config.sample_prompts:
            return
        drawn = family.sample(self.config.sample_prompts, self.config.sample_seed, control)
        try:
            paths = samples.save(self.directory / "samples", step, drawn)
        except OSError as error:
            self.reporter.warn(f"the samples of step {step} were not saved: {describe(error)}")
            return
        for number, (path, sample) in enumerate(zip(paths, drawn, strict=True)):
            if self._loggers is not None:
                if sample.image is not None:
                    self._loggers.image(step, f"sample/{number}", path)
                else:
                    self._loggers.text(step, f"sample/{number}", sample.text)
        files = [{"path": str(path), "prompt": sample.prompt} for path, sample in zip(paths, drawn, strict=True)]
        self.reporter.event("samples", {"step": step, "files": files})
        self._publish([*paths, *(self.directory / "samples").glob("grid.png")])

    def save(self, state: State, export: Callable[[Path], object]) -> None:
        """Write a checkpoint in the background; ``export`` puts the weights into its folder as other tools load them."""
        self._writer.submit(state, export)

    def settle(self) -> None:
        """Wait until the last checkpoint is on the disk, and a moment for the store."""
        self._writer.wait()
        if self.publisher is not None:
            self.publisher.flush(_STOP_FLUSH_SECONDS)

    def write_weights(self, export: Callable[[Path], list[Path]]) -> list[Path]:
        """Write the finished weights, trying again while the disk is full, and see them into the store.

        Raises:
            StorageError: the disk or the store refused to the end; the last checkpoint still holds the weights.
        """
        for wait in (*_RETRY_SECONDS, None):
            try:
                paths = export(self.directory)
                break
            except OSError as error:
                if wait is None:
                    raise StorageError(
                        f"the finished weights cannot be written: {describe(error)}",
                        where=str(self.directory),
                        hint="free some space and run the same command again; it goes on from the last checkpoint",
                    ) from None
                self.reporter.warn(f"the finished weights cannot be written: {describe(error)}; trying again in {wait:.0f} s")
                self.sleep(wait)
        picture = self._draw_loss()
        if self.publisher is not None:
            self._publish([*paths, *picture, *self.directory.glob("*.json*")])
            self.publisher.flush_or_fail()
        return paths

    def finish(self, ended: str) -> None:
        """Close the loggers; ``ended`` says how the run ended."""
        self._writer.wait()
        if self._loggers is not None:
            self._loggers.close(ended)
            self._loggers = None
        if ended != "finished":
            self._draw_loss()
        if self.publisher is not None:
            self.publisher.close()

    def _draw_loss(self) -> list[Path]:
        log, picture = self.directory / "log.jsonl", self.directory / "loss.png"
        if not log.exists():
            return []
        # matplotlib takes a tenth of the start-up time, and most processes never come here.
        from trainer.loggers.picture import draw_loss

        try:
            draw_loss(log, picture)
        except (OSError, ValueError) as error:
            self.reporter.warn(f"the loss picture was not drawn: {error}")
            return []
        return [picture] if picture.exists() else []

    def _written(self, folder: Path, removed: list[Path]) -> None:
        self.reporter.event("checkpoint", {"step": checkpoint.step_of(folder), "path": str(folder)})
        if self.publisher is not None:
            self.publisher.publish_directory(folder, last=checkpoint.MANIFEST)
            for old in removed:
                self.publisher.retire(old)

    def _publish(self, paths: list[Path]) -> None:
        if self.publisher is not None:
            for path in paths:
                self.publisher.publish(path)
