"""``lorafleet doctor``: whether this machine can train. A release's smoke Job runs the same checks and reads the exit code."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lorafleet.contracts.outcomes import ExitCode
from lorafleet.contracts.problems import UnavailableError
from lorafleet.contracts.training import TrainingConfig, from_mapping
from trainer.doctor_checks import (
    Check,
    Status,
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

_STYLES = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "bold red", Status.SKIP: "dim"}


@dataclass(frozen=True)
class DoctorReport:
    """What all checks found; ``device`` is the one that was tried, empty where it cannot be used."""

    device: str
    checks: tuple[Check, ...]

    @property
    def exit_code(self) -> ExitCode:
        """``FINISHED`` when nothing failed; warnings do not count."""
        return ExitCode.UNAVAILABLE if any(check.status is Status.FAIL for check in self.checks) else ExitCode.FINISHED

    def as_json(self) -> str:
        """The report as one JSON object."""
        report = {
            "device": self.device,
            "ok": self.exit_code is ExitCode.FINISHED,
            "exit_code": int(self.exit_code),
            "checks": [asdict(check) for check in self.checks],
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


def _computing(config: TrainingConfig, placement: Placement | None) -> list[Check]:
    if placement is None:
        return [Check(name, Status.SKIP, f"there is no {config.device} here") for name in (*DTYPES, "step")]
    return [*(check_precision(name, placement.device) for name in DTYPES), check_step(config, placement)]


def print_report(report: DoctorReport, console: Console) -> None:
    """Print a table of the checks, then what to do about those that are not ok."""
    table = Table(box=None, pad_edge=False)
    table.add_column("Check", no_wrap=True)
    table.add_column("Result", no_wrap=True)
    table.add_column("Found", overflow="fold")
    for check in report.checks:
        style = _STYLES[check.status]
        table.add_row(check.name, f"[{style}]{check.status}[/{style}]", escape(check.detail))
    console.print(table)
    for check in report.checks:
        if check.status in (Status.WARN, Status.FAIL):
            console.print(f"{check.name}: {check.hint}", markup=False, highlight=False, soft_wrap=True)
    failed = sum(check.status is Status.FAIL for check in report.checks)
    console.print("this machine can train" if not failed else f"this machine cannot train: {failed} failed", highlight=False)
