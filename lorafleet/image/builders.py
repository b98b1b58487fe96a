"""Who builds: docker's buildx or buildah, whichever is here. Both are called by a list of words and build the same Dockerfile."""

import json
import os
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from lorafleet.contracts.image import ImageReference
from lorafleet.contracts.problems import UnavailableError
from lorafleet.image.build_failures import BuildFailed, failure
from lorafleet.image.building import Build

Tell = Callable[[str], None]
"""Told each line that the builder prints."""

_KEPT_LINES = 60
# Dates in files and in the image's description become the epoch: the same source gives the same digest tomorrow.
_EPOCH = "0"


class BuilderName(StrEnum):
    """The builders."""

    DOCKER = "docker"
    BUILDAH = "buildah"


@dataclass(frozen=True)
class Built:
    """``digest`` is the image's in the registry; empty where it was not pushed."""

    image: ImageReference
    digest: str


class Builder(Protocol):
    """Builds, and pushes if wanted."""

    name: BuilderName

    def build(self, build: Build, *, push: bool, tell: Tell) -> Built:
        """Build an image.

        Raises:
            BuildFailed: with the reason, as far as it is known.
        """
        ...


class Docker:
    """``docker buildx build``, which pushes what it has just built."""

    name = BuilderName.DOCKER

    def __init__(self, program: str) -> None:
        self._program = program

    def build(self, build: Build, *, push: bool, tell: Tell) -> Built:
        """See Builder."""
        with tempfile.TemporaryDirectory() as folder:
            metadata = Path(folder) / "metadata.json"
            output = f"type=image,name={build.image},push=true" if push else "type=docker"
            words = [
                *(self._program, "buildx", "build", "--progress", "plain", "--metadata-file", str(metadata)),
                # They would be a second manifest beside the image, made anew each time. Our SBOM is attached later.
                *("--provenance=false", "--sbom=false", "--output", f"{output},rewrite-timestamp=true"),
                *_described(build),
                str(build.context),
            ]
            _run(words, tell, self.name, "docker builder prune", {"SOURCE_DATE_EPOCH": _EPOCH})
            return Built(build.image, _pushed(metadata) if push else "")


class Buildah:
    """``buildah build`` and ``buildah push``. How it isolates what runs is the environment's: ``BUILDAH_ISOLATION``."""

    name = BuilderName.BUILDAH

    def __init__(self, program: str) -> None:
        self._program = program

    def build(self, build: Build, *, push: bool, tell: Tell) -> Built:
        """See Builder."""
        words = [
            *(self._program, "build", "--layers", "--force-rm", "--format", "oci", "--timestamp", _EPOCH, *_insecure(build.base)),
            *_described(build),
            str(build.context),
        ]
        _run(words, tell, self.name, "buildah prune")
        if not push:
            return Built(build.image, "")
        with tempfile.TemporaryDirectory() as folder:
            digest = Path(folder) / "digest"
            words = [self._program, "push", "--digestfile", str(digest), *_insecure(build.image), str(build.image)]
            _run([*words, f"docker://{build.image}"], tell, self.name, "buildah prune")
            return Built(build.image, _digest(digest.read_text().strip()))


def find_builder(wanted: BuilderName | None = None) -> Builder:
    """The named builder, or the first that is here and works.

    Raises:
        UnavailableError: there is none; with what each lacks.
    """
    lacks = []
    for name in BuilderName if wanted is None else (wanted,):
        program = shutil.which(name)
        if program is None:
            lacks.append(f"{name} is not on PATH")
        elif name is BuilderName.BUILDAH:
            return Buildah(program)
        elif missing := _docker_lacks(program):
            lacks.append(missing)
        else:
            return Docker(program)
    raise UnavailableError(
        f"no builder found: {', '.join(lacks)}", hint="install Docker with its buildx plugin, or buildah (apt install buildah)"
    )


def _docker_lacks(program: str) -> str:
    if not _answers([program, "buildx", "version"]):
        return "docker has no buildx plugin"
    return "" if _answers([program, "version", "--format", "{{.Server.Version}}"]) else "docker's daemon does not answer"


def _answers(words: Sequence[str]) -> bool:
    try:
        return subprocess.run(words, capture_output=True, timeout=20, check=False).returncode == 0  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return False


def _described(build: Build) -> list[str]:
    words = ["--file", str(build.context / "Dockerfile"), "--target", build.target, "--tag", str(build.image)]
    for name, value in build.arguments.items():
        words += ["--build-arg", f"{name}={value}"]
    words += ["--no-cache"] if build.anew else []
    return [*words, "--secret", f"id=ca,src={build.ca}"] if build.ca else words


def _insecure(image: ImageReference) -> list[str]:
    # Buildah asks by https first; a registry on this machine's own loopback seldom has that.
    return ["--tls-verify=false"] if image.registry.partition(":")[0] in ("localhost", "127.0.0.1") else []


def _run(words: Sequence[str], tell: Tell, name: str, prune: str, more: Mapping[str, str] | None = None) -> None:
    last: deque[str] = deque(maxlen=_KEPT_LINES)
    with subprocess.Popen(  # noqa: S603
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(more or {})},
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            last.append(line.rstrip())
            tell(line.rstrip())
    if process.returncode != 0:
        raise failure(name, last, prune)


def _pushed(metadata: Path) -> str:
    try:
        return _digest(str(json.loads(metadata.read_text())["containerimage.digest"]))
    except (OSError, ValueError, KeyError, TypeError):
        raise BuildFailed("docker named no digest of what it pushed", hint="update docker and its buildx plugin") from None


def _digest(text: str) -> str:
    if not text.startswith("sha256:"):
        raise BuildFailed(f"the builder gave {text[:80]!r} for a digest", hint="update it")
    return text
