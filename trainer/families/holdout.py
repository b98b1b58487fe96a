"""The part of a set that is kept for the validation loss."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from lorafleet.contracts.problems import DataError
from trainer.randomness import seed_of

Item = TypeVar("Item")


def hold_out(items: Sequence[Item], content: Callable[[Item], str], share: float, seed: int) -> tuple[list[Item], list[Item]]:
    """Training and validation items, both in their order.

    Chosen by ``content``, so that the same examples are held out whatever they are called and wherever they stand, and equal ones
    stay together.

    Raises:
        DataError: nothing would be left to train on.
    """
    ranked = sorted({content(item) for item in items}, key=lambda key: seed_of(seed, "split", key))
    chosen = set(ranked[: max(1, round(len(ranked) * share))])
    training = [item for item in items if content(item) not in chosen]
    if not training:
        raise DataError(f"validation_split leaves nothing of {len(items)} to train on", hint="lower it or add examples")
    return training, [item for item in items if content(item) in chosen]
