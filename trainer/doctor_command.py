"""The doctor's part of the trainer, as the command line calls it."""

from lorafleet.contracts.outcomes import ExitCode
from lorafleet.contracts.problems import UnavailableError


def examine(device: str, *, require_gpu: bool, train: bool, as_json: bool) -> ExitCode:
    """Examine this machine, print what was found, and return the exit code.

    Raises:
        UnavailableError: torch itself cannot be loaded.
        ConfigError: ``device`` is no device.
    """
    from rich.console import Console

    try:
        from trainer.doctor import print_report, run_doctor
    except OSError as error:
        # torch loads CUDA's libraries itself, so that a missing one is no ImportError.
        raise UnavailableError(
            f"torch cannot be loaded: {error}", hint="install torch again; its CUDA libraries come with it from PyPI"
        ) from None
    report = run_doctor(device, require_gpu, train=train)
    if as_json:
        print(report.as_json())
    else:
        print_report(report, Console())
    return report.exit_code
