"""Checkpoints are written on a thread of their own, and a disk that is full does not end a run."""

import errno
import secrets
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from lorafleet.contracts.problems import StorageError
from trainer import checkpoint
from trainer.checkpoint import State
from trainer.side_threads import compute_alone

Export = Callable[[Path], object]


def prepare_output(directory: Path, needed_bytes: int) -> None:
    """Make the output folder and prove that it can hold what the run will write.

    Raises:
        StorageError: it cannot be made or written, or there is too little room.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        # Each process of a run proves it for itself, at the same moment.
        probe = directory / f".write-probe-{secrets.token_hex(4)}"
        probe.write_bytes(b"lorafleet")
        probe.unlink()
        free = shutil.disk_usage(directory).free
    except OSError as error:
        raise StorageError(
            f"output_dir cannot be written: {describe(error)}",
            where=str(directory),
            hint="choose another output_dir or mend its permissions",
        ) from None
    if free < needed_bytes:
        raise StorageError(
            f"output_dir has {free / 2**20:.0f} MiB free, the run needs about {needed_bytes / 2**20:.0f} MiB",
            where=str(directory),
            hint="free some space, or lower keep_checkpoints",
        )


def describe(error: OSError) -> str:
    """An operating system's error in words."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full"
    return (error.strerror or str(error)).lower()


class CheckpointWriter:
    """Writes one checkpoint at a time in the background.

    A failed write is told to ``on_failure`` and forgotten: the run goes on, the older checkpoints stay, the next one tries again.
    """

    def __init__(
        self, root: Path, keep: int, on_written: Callable[[Path, list[Path]], None], on_failure: Callable[[str], None]
    ) -> None:
        self._root = root
        self._keep = keep
        self._on_written = on_written
        self._on_failure = on_failure
        self._thread: threading.Thread | None = None
        self.failed = False

    def submit(self, state: State, export: Export | None = None) -> None:
        """Start writing a state whose tensors nobody changes any more; waits for the write before it."""
        self.wait()
        self._thread = threading.Thread(target=self._write, args=(state, export), name="checkpoint")
        self._thread.start()

    def wait(self) -> None:
        """Until nothing is being written."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _write(self, state: State, export: Export | None) -> None:
        compute_alone()
        try:
            folder = checkpoint.write(self._root, state, export)
            self.failed = False
            self._on_written(folder, checkpoint.prune(self._root, self._keep))
        except Exception as error:  # noqa: BLE001  (whatever an export or a disk does, hours of training must go on)
            self.failed = True
            reason = describe(error) if isinstance(error, OSError) else str(error)
            self._on_failure(f"the checkpoint of step {state.position.step} was not saved: {reason}")
