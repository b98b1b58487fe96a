"""What the Dockerfile, its locks and the generated pods have to agree on; the images themselves are built by make engines."""

import re
from pathlib import Path

import pytest

from pipelines.manifests.pod import SCRATCH, USER

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def pins(name: str) -> set[str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return {" ".join(line.removesuffix("\\").split()) for line in text.splitlines() if re.match(r"[a-z0-9]", line)}


@pytest.mark.parametrize(
    ("part", "whole"), [("torch", "trainer"), ("trainer", "dev"), ("console", "dev"), ("image", "dev"), ("base", "console")]
)
def test_a_lock_is_a_part_of_the_larger_one(part: str, whole: str) -> None:
    """Markers may be narrower where fewer packages ask for one."""
    names = {line.partition(" ;")[0] for line in pins(whole)}
    assert pins(part)
    assert {line.partition(" ;")[0] for line in pins(part)} <= names


def test_torch_brings_its_cuda_libraries_in_its_own_layer() -> None:
    rest = {line for line in pins("trainer") if re.match(r"nvidia|cuda|torch|triton", line)}
    assert {line.partition(" ;")[0] for line in rest} <= {line.partition(" ;")[0] for line in pins("torch")}
    assert DOCKERFILE.index("requirements/torch.txt") < DOCKERFILE.index("requirements/trainer.txt")


def test_the_user_and_the_scratch_folder_are_those_of_the_pods() -> None:
    assert re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE) == [f"{USER}:{USER}"] * 2
    assert f'VOLUME ["{SCRATCH}"]' in DOCKERFILE
    assert f"HOME={SCRATCH} " in DOCKERFILE


def test_the_base_has_no_default() -> None:
    assert "ARG BASE_IMAGE\n" in DOCKERFILE
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {"${BASE_IMAGE}", "python"}


def test_nothing_but_what_is_copied_is_sent_to_the_builder() -> None:
    sent = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {found.partition("/")[0] for found in re.findall(r"^COPY (?!--from)(\S+)", DOCKERFILE, re.MULTILINE)}
    assert sent == copied


def test_what_old_builders_do_not_know_is_not_used() -> None:
    """Debian 12's buildah 1.28 has no here-documents."""
    assert "<<" not in DOCKERFILE
