"""Showing how far a copy is: a bar for each registry on a terminal, nothing elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from lorafleet.image.mirroring import Silent, Watcher


class Bars:
    """A :class:`lorafleet.image.mirroring.Watcher` that draws."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def planned(self, target: str, size: int) -> None:
        """See Watcher."""
        self._tasks[target] = self._progress.add_task(target, total=size)

    def moved(self, target: str, size: int) -> None:
        """See Watcher."""
        self._progress.advance(self._tasks[target], size)


@contextmanager
def watching(wanted: bool) -> Iterator[Watcher]:
    """Bars on stderr where that is a terminal."""
    console = Console(stderr=True)
    if not wanted or not console.is_terminal:
        yield Silent()
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console) as progress:
        yield Bars(progress)
