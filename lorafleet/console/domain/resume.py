"""Which published checkpoint a job goes on from."""

from collections.abc import Collection, Iterable
from typing import Protocol, TypeVar


class Written(Protocol):
    """A published checkpoint, as far as it matters here. ``release_id`` is None before any release."""

    @property
    def fence(self) -> int:
        """Of the lease that wrote it."""
        ...

    @property
    def step(self) -> int:
        """Steps done."""
        ...

    @property
    def release_id(self) -> str | None:
        """The try to release that the lease belonged to."""
        ...

    @property
    def stores(self) -> Collection[str]:
        """Where it lies."""
        ...


Checkpoint = TypeVar("Checkpoint", bound=Written)


def newest(checkpoints: Iterable[Checkpoint], failed: Collection[str], lost_stores: Collection[str] = ()) -> Checkpoint | None:
    """The one with the most steps, and of several the newest lease's; None where there is none.

    Passed over is what a failed release wrote, whatever it says of itself, and what lies only in stores that cannot be reached.
    """
    usable = [
        each
        for each in checkpoints
        if each.release_id not in failed and (not each.stores or not set(each.stores) <= set(lost_stores))
    ]
    return max(usable, key=lambda each: (each.step, each.fence), default=None)
