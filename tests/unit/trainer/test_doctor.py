import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lorafleet.cli import main
from lorafleet.contracts.checkup import CheckResult, SetupCheck
from lorafleet.contracts.outcomes import ExitCode
from lorafleet.contracts.problems import ConfigError
from lorafleet.contracts.training import from_mapping
from trainer import doctor_checks
from trainer.doctor import DoctorReport, run_doctor
from trainer.doctor_checks import (
    check_disk,
    check_precision,
    check_step,
    check_versions,
    installed_versions,
    parse_driver,
)
from trainer.families.base import Placement

CPU = torch.device("cpu")
CONFIG = from_mapping({"train_data_dir": "none", "base_model": "none", "output_dir": "none", "device": "cpu"})
FITS = {
    "torch": "2.15.0+cu132",
    "diffusers": "0.42.1",
    "transformers": "5.23.0",
    "peft": "0.21.2",
    "accelerate": "1.15.0",
    "cuda": "13.2",
    "driver": "580.95.05",
    "compute_capability": "9.0",
}


def by_name(report: DoctorReport) -> dict[str, SetupCheck]:
    return {check.name: check for check in report.checks}


def test_a_real_run_on_the_cpu_passes_and_only_warns_of_the_gpu() -> None:
    report = run_doctor("cpu")
    checks = by_name(report)
    assert report.exit_code is ExitCode.FINISHED
    assert report.device == "cpu"
    assert len(checks) == len(report.checks)
    assert checks["gpu"].result is CheckResult.WARN
    for name in ("python", "torch", "peft", "fp32", "bf16", "fp16", "step", "temporary folder"):
        assert checks[name].result is CheckResult.OK, checks[name]
    assert checks["torch"].found == installed_versions()["torch"]


def test_a_missing_gpu_fails_where_one_is_required() -> None:
    report = run_doctor("cpu", require_gpu=True)
    assert by_name(report)["gpu"].result is CheckResult.FAIL
    assert report.exit_code is ExitCode.UNAVAILABLE


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_was_asked_for_and_is_not_there_fails_and_skips_the_computing() -> None:
    report = run_doctor("cuda")
    checks = by_name(report)
    assert checks["gpu"].result is CheckResult.FAIL
    assert checks["step"].result is CheckResult.SKIP
    assert report.exit_code is ExitCode.UNAVAILABLE
    assert report.device == ""


@pytest.mark.parametrize(
    ("name", "found", "words"),
    [
        ("driver", "570.124.06", "CUDA 13.2 needs 580 or newer"),
        ("cuda", "12.6", "torch 2.15 is published for CUDA 13.0, 13.2"),
        ("compute_capability", "7.0", "CUDA 13.2 needs 7.5 or newer"),
        ("torch", "2.8.0", "2.9 or newer"),
        ("transformers", "4.57.0", "5.6 or newer"),
        ("peft", "0.99.0", "older than 0.22"),
    ],
)
def test_a_version_that_leaves_the_table_fails(name: str, found: str, words: str) -> None:
    assert all(check.result is CheckResult.OK for check in check_versions(FITS))
    report = run_doctor("cpu", versions={**FITS, name: found})
    failed = [check for check in report.checks if check.result is CheckResult.FAIL]
    assert [check.name for check in failed] == [name]
    assert words in failed[0].found
    assert "source: " in failed[0].found
    assert failed[0].hint
    assert report.exit_code is ExitCode.UNAVAILABLE == 69


def test_a_package_that_is_missing_fails_and_a_cpu_build_is_no_fault() -> None:
    checks = {check.name: check for check in check_versions({"torch": "2.15.0+cpu"})}
    assert checks["torch"].result is CheckResult.OK
    assert checks["peft"].result is CheckResult.FAIL
    assert {checks[name].result for name in ("cuda", "driver", "compute_capability")} == {CheckResult.SKIP}


def test_why_there_is_no_gpu_is_said() -> None:
    details = {
        doctor_checks.check_gpu(CPU, versions, required=False).found.split(";")[0]
        for versions in ({}, {"driver": "580"}, {"driver": "580", "cuda": "13.2"})
    }
    assert len(details) == 3


def test_a_gpu_whose_memory_another_holds_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA L4")
    for free, status in ((20, CheckResult.OK), (3, CheckResult.WARN)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free * 2**30, 24 * 2**30))
        found = doctor_checks.check_gpu(torch.device("cuda", 0), FITS, required=True)
        assert found.result is status
        assert found.found == f"NVIDIA L4, 24.0 GiB, {free}.0 GiB of it free"


def test_a_device_that_computes_wrongly_or_not_at_all_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doctor_checks.DTYPES, "fp32", torch.float8_e4m3fn)
    unsupported = check_precision("fp32", CPU)
    assert unsupported.result is CheckResult.FAIL
    assert "\n" not in unsupported.found
    # bf16 keeps 8 bits: too few for what fp32 promises.
    monkeypatch.setitem(doctor_checks.DTYPES, "fp32", torch.bfloat16)
    monkeypatch.setitem(doctor_checks._TOLERANCES, "fp32", 1e-4)
    assert check_precision("fp32", CPU).result is CheckResult.FAIL
    monkeypatch.undo()
    assert check_precision("fp32", CPU).result is CheckResult.OK


def test_a_step_that_changes_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_step(CONFIG, Placement(CPU, torch.bfloat16)).result is CheckResult.OK
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self: None)
    found = check_step(CONFIG, Placement(CPU, torch.float32))
    assert found.result is CheckResult.FAIL
    assert "left the weights" in found.found


def test_the_tiny_step_leaves_the_random_state_alone() -> None:
    state = torch.get_rng_state()
    check_step(CONFIG, Placement(CPU, torch.float32))
    assert torch.equal(torch.get_rng_state(), state)


def test_scarce_disk_warns_and_none_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_disk(tmp_path / "missing").result is CheckResult.FAIL
    monkeypatch.setattr(doctor_checks, "_SCARCE_DISK", 0)
    assert check_disk(tmp_path).result is CheckResult.OK
    monkeypatch.setattr(doctor_checks, "_SCARCE_DISK", 2**60)
    assert check_disk(tmp_path).result in (CheckResult.WARN, CheckResult.FAIL)
    monkeypatch.setattr(doctor_checks, "_NO_DISK", 2**60)
    assert check_disk(tmp_path).result is CheckResult.FAIL


@pytest.mark.parametrize(
    ("text", "driver"),
    [
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\nGCC version: 12.2.0",
            "550.54.15",
        ),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (x@y)", "580.95.05"),
        ("nothing of it", None),
    ],
)
def test_the_driver_is_read_from_the_kernel_module(text: str, driver: str | None) -> None:
    assert parse_driver(text) == driver


def test_a_word_that_is_no_device_is_an_error_of_its_own() -> None:
    with pytest.raises(ConfigError, match="'gpu' is no device"):
        run_doctor("gpu")


def test_the_command_prints_json_and_ends_with_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json", "--device", "cpu"]) == ExitCode.FINISHED
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    assert report["device"] == "cpu"
    assert {tuple(check) for check in report["checks"]} == {("name", "status", "detail", "hint")}
    assert main(["doctor", "--json", "--device", "cpu", "--require-gpu"]) == ExitCode.UNAVAILABLE
    report = json.loads(capsys.readouterr().out)
    assert (report["ok"], report["exit_code"]) == (False, 69)


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys\nfrom lorafleet.cli import main\nmain(['doctor', '--help'])\n"
        "print('loaded:', [name for name in ('torch', 'peft', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert "--require-gpu" in done.stdout
    assert "loaded: []" in done.stdout


def test_a_cuda_library_that_cannot_be_loaded_is_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "torch"
    broken.mkdir()
    broken.joinpath("__init__.py").write_text("import ctypes\nctypes.CDLL('libcudnn.so.404')\n")
    program = f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nfrom lorafleet.cli import main\nsys.exit(main(['doctor']))\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == ExitCode.UNAVAILABLE
    assert "torch cannot be loaded: libcudnn.so.404" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_tiny_training_is_part_of_the_report_where_it_is_asked_for() -> None:
    report = run_doctor("cpu", train=True)
    training = report.checks[-1]
    assert (training.name, training.result) == ("training", CheckResult.OK)
    assert "diffusers loads the LoRA" in training.found
    assert "training" not in {check.name for check in run_doctor("cpu").checks}


def test_an_image_that_cannot_train_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: no kernel image is available\nfor execution")

    monkeypatch.setattr("diffusers.AutoencoderKL.encode", broken)
    report = run_doctor("cpu", train=True)
    assert report.exit_code is ExitCode.UNAVAILABLE
    assert report.checks[-1].found == "a tiny training failed: CUDA error: no kernel image is available"
