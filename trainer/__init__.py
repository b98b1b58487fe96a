"""The LoRA trainer: ``from trainer import LoRATrainer``.

Importing the package costs nothing; torch is loaded when :class:`LoRATrainer` is first used.
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.run import LoRATrainer

# The libraries read these once, at import, and would otherwise warn of parts that are not used here.
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")

# OpenMP's threads wait for each other by spinning, which on a machine that has other work makes a step a hundred times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__all__ = ["LoRATrainer"]


def __getattr__(name: str) -> Any:
    if name == "LoRATrainer":
        from trainer.run import LoRATrainer

        return LoRATrainer
    raise AttributeError(f"module 'trainer' has no attribute '{name}'")
