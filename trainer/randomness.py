"""Stateless randomness: every random number is a function of the run's seed and of where it is used.

Nothing has to be saved to repeat a step, so a run may be killed at any moment and still go on bit for bit.
"""

from hashlib import blake2b

import torch


def seed_of(*parts: int | str) -> int:
    """A 63-bit seed that follows from ``parts`` alone, the same on every machine and version."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(*parts: int | str) -> torch.Generator:
    """A CPU generator seeded by ``parts``; CPU, so that every kind of GPU sees the same numbers."""
    return torch.Generator().manual_seed(seed_of(*parts))
