"""Our own lock fits, and what does not is told with how to mend it."""

import json
import tomllib
from pathlib import Path

import pytest

from lorafleet.cli import main
from lorafleet.console.site_files import read_site_files
from lorafleet.contracts.outcomes import ExitCode
from lorafleet.contracts.problems import ConfigError, NoInputError, UsageError
from lorafleet.contracts.site import Site
from lorafleet.image.compat import problems, versions
from lorafleet.image.lock import Pin, parse_lock, read_locks

ROOT = Path(__file__).parents[3]


def test_our_own_lock_and_sites_fit() -> None:
    pins = read_locks([ROOT / "requirements" / "trainer.txt"], "3.12")
    sites = read_site_files(ROOT / "sites")
    found = versions(pins)
    assert {"torch", "cuda", "diffusers", "transformers", "peft", "accelerate"} <= set(found)
    assert [str(problem) for problem in problems("trainer.txt", pins, sites)] == []


def test_every_lock_of_ours_is_read() -> None:
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        pins = parse_lock(path.read_text(), "3.11", path.name)
        assert pins
        assert all(pin.hashes for pin in pins)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11"


def test_a_lock_s_lines() -> None:
    text = (
        "# made by hand\n"
        "torch==2.15.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
        "colorama==0.4.6 ; sys_platform == 'win32' \\\n    --hash=sha256:cc\n"
        "numpy==1.0 ; python_full_version < '3.12'\n"
        "numpy==2.0 ; python_full_version >= '3.12'\n"
        "Ruamel.YAML[x]==0.18  # why\n"
    )
    assert parse_lock(text, "3.12") == (Pin("torch", "2.15.0", ("aa", "bb")), Pin("numpy", "2.0"), Pin("ruamel-yaml", "0.18"))
    assert Pin("numpy", "1.0") in parse_lock(text, "3.11")


@pytest.mark.parametrize("line", ["torch>=2", "torch", "-e .", "torch==2.0,==2.1", "==", "--index-url https://example.org"])
def test_what_pins_nothing(line: str) -> None:
    with pytest.raises(ConfigError, match=r"lock\.txt:2: this pins no version"):
        parse_lock(f"\n{line}\n", "3.12", "lock.txt")


def test_two_locks_agree(tmp_path: Path) -> None:
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    one.write_text("torch==2.15.0\nzipp==1\n")
    two.write_text("torch==2.14.0\n")
    assert [pin.name for pin in read_locks([one, one], "3.12")] == ["torch", "zipp"]
    with pytest.raises(ConfigError, match=r"torch is 2\.14\.0 here and 2\.15\.0 in another lock"):
        read_locks([one, two], "3.12")
    with pytest.raises(NoInputError, match="cannot be read"):
        read_locks([tmp_path / "none.txt"], "3.12")
    for python in ("abc", "3", "3.12.1"):
        with pytest.raises(UsageError, match=f"--python: '{python}' is no version of Python 3"):
            read_locks([one], python)


@pytest.mark.parametrize(
    ("pins", "cuda"),
    [
        ({"torch": "2.15.0", "nvidia-cuda-runtime": "13.2.86"}, "13.2"),
        ({"torch": "2.9.1", "nvidia-cuda-runtime-cu12": "12.8.90"}, "12.8"),
        ({"torch": "2.9.1+cu126"}, "12.6"),
        ({"torch": "2.9.1+cu130"}, "13.0"),
        ({"torch": "2.9.1"}, "12.8"),
        ({"torch": "2.9.1+cpu"}, None),
        ({"diffusers": "0.42"}, None),
    ],
    ids=["beside it", "the older name", "its local version", "the newer local version", "PyPI's", "for CPUs", "no torch"],
)
def test_the_cuda_runtime_of_a_lock(pins: dict[str, str], cuda: str | None) -> None:
    assert versions([Pin(name, version) for name, version in pins.items()]).get("cuda") == cuda


def site(driver: str, gpu: str = "L4") -> dict[str, Site]:
    values = json.loads((ROOT / "sites" / "local.json").read_text())
    return {"local": Site.model_validate({**values, "gpu_pools": [{"type": gpu, "driver": driver, "max": 1}]})}


def told(pins: dict[str, str], sites: dict[str, Site]) -> list[str]:
    return [str(each) for each in problems("lock", [Pin(name, version) for name, version in pins.items()], sites)]


def test_an_image_whose_torch_does_not_fit_the_runtime() -> None:
    (line,) = told({"torch": "2.15.0", "nvidia-cuda-runtime": "12.6.77"}, {})
    assert (
        line
        == "lock: cuda 12.6 does not fit: torch 2.15 is published for CUDA 13.0, 13.2 (install torch for CUDA 13.2, the one on PyPI)"
    )


def test_a_driver_that_is_too_old() -> None:
    (line,) = told({"torch": "2.15.0"}, site("570.124.06"))
    assert line.startswith(
        "site local, pool L4: driver 570.124.06 does not fit: CUDA 13.2 needs 580 or newer (update the NVIDIA driver"
    )
    assert "lorafleet site export" in line
    assert told({"torch": "2.9.0"}, site("570.124.06")) == []


def test_a_torch_without_cuda_fits_no_gpu() -> None:
    (line,) = told({"torch": "2.15.0+cpu"}, site("580.95.05"))
    assert line.startswith("site local, pool L4: torch 2.15.0+cpu does not fit: it is built without CUDA (lock torch as PyPI")
    assert told({"torch": "2.15.0+cpu"}, {}) == []


def test_a_gpu_that_is_too_old() -> None:
    (line,) = told({"torch": "2.15.0"}, site("580.95.05", "V100 SXM 16GB"))
    assert "compute capability 7.0 does not fit: CUDA 13.2 needs 7.5 or newer" in line


def test_libraries_that_leave_the_table_and_a_lock_without_torch() -> None:
    (line,) = told({"torch": "2.15.0", "diffusers": "0.20"}, {})
    assert line.startswith("lock: diffusers 0.20 does not fit")
    assert told({"diffusers": "0.42.1"}, {}) == ["lock: torch is not in this lock (name the trainer's lock)"]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("torch==2.15.0\n")
    (tmp_path / "local.json").write_text(site("550.1")["local"].model_dump_json())
    words = ["image", "compat", "--lock", str(lock), "--sites", str(tmp_path)]
    assert main(words) == ExitCode.UNAVAILABLE
    assert "error: site local, pool L4: driver 550.1" in capsys.readouterr().err
    assert main([*words, "--json"]) == ExitCode.UNAVAILABLE
    assert json.loads(capsys.readouterr().out)["fits"] is False
    (tmp_path / "local.json").write_text(site("580.1")["local"].model_dump_json())
    assert main(words) == 0
    assert "these fit together, and local" in capsys.readouterr().out
