import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafleet.contracts.compatibility import PACKAGES, RUNTIMES, TORCH, check, numbers

ROOT = Path(__file__).parents[3]


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements" / "trainer.txt").read_text(encoding="utf-8").splitlines()
    pins = [match for line in lines if (match := re.match(r"([A-Za-z0-9_.-]+)==([^ \\;]+)", line))]
    return {pin[1]: pin[2] for pin in pins}


def test_the_lock_stays_in_the_table() -> None:
    pins = locked()
    assert {row.package for row in PACKAGES} <= set(pins)
    # torch's own metadata pins the CUDA toolkit, so the lock says which runtime comes with it.
    versions = {**pins, "cuda": pins["cuda-toolkit"], "driver": "580.65.06", "compute_capability": "7.5"}
    assert check(versions) == []
    row = next(row for row in TORCH if numbers(row.torch) == numbers(pins["torch"])[:2])
    assert numbers(row.pypi) == numbers(pins["cuda-toolkit"])[:2]


def test_a_lock_that_moves_on_is_found() -> None:
    pins = locked()
    for row in PACKAGES:
        found = check({**pins, row.package: row.below})
        assert [mismatch.name for mismatch in found] == [row.package]


def test_lower_ends_are_those_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    asked = project["project"]["optional-dependencies"]["trainer"]
    assert {f"{row.package}>={row.at_least}" for row in PACKAGES} <= set(asked)


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        ({"driver": "570.124.06"}, "driver", "CUDA 13.2 needs 580 or newer"),
        ({"cuda": "12.6", "driver": "525.60.13"}, "cuda", "torch 2.15 is published for CUDA 13.0, 13.2"),
        ({"compute_capability": "7.0"}, "compute_capability", "CUDA 13.2 needs 7.5 or newer"),
        ({"torch": "2.8.0"}, "torch", "2.9 or newer, older than 2.16"),
        ({"transformers": "6.0.0"}, "transformers", "5.6 or newer, older than 5.24"),
    ],
)
def test_what_leaves_the_table_is_named(change: dict[str, str], name: str, words: str) -> None:
    fits = {"torch": "2.15.0+cu132", "cuda": "13.2", "driver": "580.65.06", "compute_capability": "9.0", "transformers": "5.23.0"}
    assert check(fits) == []
    (found,) = check({**fits, **change})
    assert found.name == name
    assert words in str(found)
    assert found.source


def test_what_is_absent_is_not_checked() -> None:
    assert check({}) == []
    assert check({"torch": "2.15.0+cpu"}) == []
    assert check({"cuda": "13.2", "driver": "580"}) == []


def test_each_runtime_of_a_torch_has_a_row() -> None:
    known = {row.runtime for row in RUNTIMES}
    for row in TORCH:
        assert {*row.runtimes, row.pypi} <= known
        assert row.pypi in row.runtimes


@given(st.lists(st.integers(0, 9999), min_size=1, max_size=4), st.sampled_from(["", "+cu132", ".dev20260101", "rc1", "a0+git1"]))
def test_numbers_are_read_from_any_version(parts: list[int], tail: str) -> None:
    assert numbers(".".join(map(str, parts)) + tail) == tuple(parts)


def test_text_without_numbers_has_none() -> None:
    assert numbers("unknown") == ()
