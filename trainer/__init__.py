"""The LoRA trainer: ``from trainer import LoRATrainer``.

Importing the package costs nothing; torch is loaded when :class:`LoRATrainer` is first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.run import LoRATrainer

__all__ = ["LoRATrainer"]


def __getattr__(name: str) -> Any:
    if name == "LoRATrainer":
        from trainer.run import LoRATrainer

        return LoRATrainer
    raise AttributeError(f"module 'trainer' has no attribute '{name}'")
