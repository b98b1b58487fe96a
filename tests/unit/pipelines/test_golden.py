"""What is generated, file by file. REGENERATE_GOLDEN=1 writes them anew: look at the difference before you commit it."""

import os
from pathlib import Path

import pytest
from fleets import cluster, compiled, example, fleet, sites, with_canary

from pipelines.compile import compile_fleet
from pipelines.render import render_json, render_mermaid, render_svg
from pipelines.render_files import render_config

GOLDEN = Path(__file__).parent / "golden"
FLEETS = {
    "canary": fleet(cluster("aws-eu-central-1", "canary", share="10%")),
    "bluegreen": fleet(cluster("gcp-us-west1", "bluegreen")),
    "rolling": fleet(cluster("azure-westeurope", "rolling", share="50%")),
    "kayenta": with_canary(fleet(cluster("aws-eu-central-1", "canary", share="10%"))),
}


def files() -> dict[str, str]:
    """Every file's text: all of it for each strategy, and the pictures of the repository's example."""
    found = {}
    for name, spec in {**FLEETS, "example": example()}.items():
        for pipeline in compiled(spec):
            stem = f"{name}.{pipeline.name}"
            if name in FLEETS:
                found[f"{stem}.json"] = render_json(pipeline)
            found[f"{stem}.mmd"] = render_mermaid(pipeline)
            found[f"{stem}.svg"] = render_svg(pipeline)
    config = compile_fleet(FLEETS["kayenta"], sites()).canary_config
    assert config is not None
    found["kayenta.canary-config.json"] = render_config(config)
    return found


EXPECTED = files()


def regenerate(environment: dict[str, str], directory: Path) -> bool:
    """Whether the files were written anew; never where CI is set, as a run that renews them would always agree."""
    if environment.get("REGENERATE_GOLDEN") != "1" or environment.get("CI"):
        return False
    for path in directory.glob("*.*"):
        path.unlink()
    for name, text in EXPECTED.items():
        (directory / name).write_text(text, encoding="utf-8")
    return True


regenerate(dict(os.environ), GOLDEN)


def test_the_same_files() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_same_text(name: str) -> None:
    assert EXPECTED[name] == (GOLDEN / name).read_text(encoding="utf-8")


def test_ci_never_regenerates(tmp_path: Path) -> None:
    assert not regenerate({"REGENERATE_GOLDEN": "1", "CI": "true"}, tmp_path)
    assert not list(tmp_path.iterdir())
    assert regenerate({"REGENERATE_GOLDEN": "1"}, tmp_path)
    assert len(list(tmp_path.iterdir())) == len(EXPECTED)
