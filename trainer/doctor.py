"""``lorafleet doctor``: whether this machine can train. A release's smoke Job runs the same checks and reads the exit code."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lorafleet.contracts.checkup import CheckResult, SetupCheck, failures
from lorafleet.contracts.outcomes import ExitCode
from lorafleet.contracts.problems import UnavailableError
from lorafleet.contracts.training import TrainingConfig, from_mapping
from trainer.doctor_checks import (
    check_disk,
    check_gpu,
    check_precision,
    check_python,
    check_step,
    check_temporary_folder,
    check_versions,
    installed_versions,
)
from trainer.families.base import Placement
from trainer.placement import DTYPES, choose


@dataclass(frozen=True)
class DoctorReport:
    """What all checks found; ``device`` is the one that was tried, empty where it cannot be used."""

    device: str
    checks: tuple[SetupCheck, ...]

    @property
    def exit_code(self) -> ExitCode:
        """``FINISHED`` when nothing failed; warnings do not count."""
        return ExitCode.UNAVAILABLE if failures(self.checks) else ExitCode.FINISHED

    def as_json(self) -> str:
        """The report as one JSON object."""
        report = {
            "device": self.device,
            "ok": self.exit_code is ExitCode.FINISHED,
            "exit_code": int(self.exit_code),
            "checks": [
                {"name": check.name, "status": check.result, "detail": check.found, "hint": check.hint} for check in self.checks
            ],
        }
        return json.dumps(report, indent=2)


def run_doctor(
    device: str = "auto", require_gpu: bool = False, *, train: bool = False, versions: Mapping[str, str] | None = None
) -> DoctorReport:
    """Run every check; the tiny training, which takes half a minute, only with ``train``.

    ``versions`` are by default this machine's; see :func:`lorafleet.contracts.compatibility.check` for their names.

    Raises:
        ConfigError: ``device`` is no device.
    """
    versions = installed_versions() if versions is None else versions
    config = from_mapping({"train_data_dir": "none", "base_model": "none", "output_dir": "none", "lora_rank": 4, "device": device})
    placement = _placement(config)
    checks = [
        check_python(),
        *check_versions(versions),
        check_gpu(placement.device if placement else None, versions, required=require_gpu),
        *_computing(config, placement),
        check_disk(Path.cwd()),
        check_temporary_folder(),
    ]
    if train and placement is not None:
        from trainer.doctor_training import check_training

        checks.append(check_training(str(placement.device)))
    return DoctorReport(str(placement.device) if placement else "", tuple(checks))


def _placement(config: TrainingConfig) -> Placement | None:
    try:
        return choose(config)
    except UnavailableError:
        return None


def _computing(config: TrainingConfig, placement: Placement | None) -> list[SetupCheck]:
    if placement is None:
        return [SetupCheck(name, CheckResult.SKIP, f"there is no {config.device} here") for name in (*DTYPES, "step")]
    return [*(check_precision(name, placement.device) for name in DTYPES), check_step(config, placement)]
