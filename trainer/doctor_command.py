"""The doctor's part of the trainer, as the command line calls it."""

from typing import TYPE_CHECKING

from lorafleet.contracts.problems import UnavailableError

if TYPE_CHECKING:
    from trainer.doctor import DoctorReport


def examine(device: str, *, require_gpu: bool, train: bool) -> "DoctorReport":
    """Examine this machine.

    Raises:
        UnavailableError: torch itself cannot be loaded.
        ConfigError: ``device`` is no device.
    """
    try:
        from trainer.doctor import run_doctor
    except OSError as error:
        # torch loads CUDA's libraries itself, so that a missing one is no ImportError.
        raise UnavailableError(
            f"torch cannot be loaded: {error}", hint="install torch again; its CUDA libraries come with it from PyPI"
        ) from None
    return run_doctor(device, require_gpu, train=train)
