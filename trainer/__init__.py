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

# GNU OpenMP's threads wait for each other by spinning, by default for so long that a step takes a hundred times longer on a machine
# that has other work. This many rounds cost nothing on an idle one (docs/benchmarks.md).
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

__all__ = ["LoRATrainer"]


def __getattr__(name: str) -> Any:
    if name == "LoRATrainer":
        from trainer.run import LoRATrainer

        return LoRATrainer
    raise AttributeError(f"module 'trainer' has no attribute '{name}'")
