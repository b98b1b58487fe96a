"""Each program's whole list of resources with inputs. REGENERATE_GOLDEN=1 writes them anew: look at the difference first."""

import json
import os
from functools import partial
from pathlib import Path

import pytest
from recorded_incluster import KINDS, recorded_incluster
from recorded_program import SITES, Recording, recorded

GOLDENS = Path(__file__).parent / "goldens"
PROGRAMS = {site: partial(recorded, cloud) for cloud, site in SITES.items()} | {
    f"{site}-incluster": partial(recorded_incluster, kind) for kind, site in KINDS.items()
}


def text(recording: Recording) -> str:
    """Resources in the order of their labels; only what the program said, no answer of the invented cloud but what feeds inputs."""
    listed = [
        {
            "resource": each.label,
            "parent": each.parent,
            "provider": each.provider,
            "protect": each.protect,
            "ignoreChanges": list(each.ignore_changes),
            "dependsOn": list(each.dependencies),
            "inputs": each.inputs,
        }
        for each in recording.resources
    ]
    slim = [{key: value for key, value in each.items() if value not in ("", False, [], {})} for each in listed]
    return json.dumps(slim, indent=1, sort_keys=True) + "\n"


def regenerate(environment: dict[str, str], directory: Path) -> bool:
    """Whether the files were written anew; never where CI is set, as a run that renews them would always agree."""
    if environment.get("REGENERATE_GOLDEN") != "1" or environment.get("CI"):
        return False
    for stack, program in PROGRAMS.items():
        (directory / f"{stack}.json").write_text(text(program()), encoding="utf-8")
    return True


regenerate(dict(os.environ), GOLDENS)


@pytest.mark.parametrize("stack", PROGRAMS)
def test_the_same_resources(stack: str) -> None:
    assert text(PROGRAMS[stack]()) == (GOLDENS / f"{stack}.json").read_text(encoding="utf-8")


def test_no_other_goldens() -> None:
    assert {path.stem for path in GOLDENS.iterdir()} == set(PROGRAMS)


def test_ci_never_regenerates(tmp_path: Path) -> None:
    assert not regenerate({"REGENERATE_GOLDEN": "1", "CI": "true"}, tmp_path)
    assert not list(tmp_path.iterdir())
