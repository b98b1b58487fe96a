"""Building images with ``lorafleet image build``, and running them as a cluster would: nobody's root, and nothing to write on."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.engines.image.bases import certificates, environment, local_base

ROOT = Path(__file__).parents[3]
COPIED = ("lorafleet", "pipelines", "trainer", "requirements")
"""The folders that the Dockerfile copies from."""


def copy_source(folder: Path) -> Path:
    """A copy of what an image is built from: the checkout may be edited while its tests run."""
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Dockerfile", ".dockerignore"):
        shutil.copy(ROOT / name, folder)
    return folder


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


class Builds:
    """Builds what ``folder`` gets a copy of."""

    def __init__(self, folder: Path) -> None:
        self.environment: Mapping[str, str] = environment(folder)
        (folder / "source").mkdir()
        self.source = copy_source(folder / "source")

    def command(self, *words: str, env: Mapping[str, str] | None = None) -> Ran:
        """``lorafleet image build``, whatever comes of it."""
        command = [sys.executable, "-m", "lorafleet", "image", "build", *words]
        return self._run(command, {**self.environment, **(env or {})})

    def build(self, target: str, *more: str, source: Path | None = None) -> dict[str, Any]:
        """What ``image build --json`` tells of a good build."""
        context = str(source or self.source)
        words = ("--target", target, "--base", local_base(), "--context", context, "--tag", "test", *certificates(), "--json")
        ran = self.command(*words, *more)
        assert ran.code == 0, ran.err[-3000:]
        told: dict[str, Any] = json.loads(ran.out)
        return told

    def run(self, image: str, words: Sequence[str], *options: str, memory: str = "3g") -> Ran:
        """Run a container to its end as the pods of the fleet do: no root, no capabilities, nothing to write on but volumes and /tmp."""
        return self._run(self.words(image, words, *options, memory=memory), self.environment)

    def words(self, image: str, words: Sequence[str], *options: str, memory: str = "3g") -> list[str]:
        """The command of :meth:`run`."""
        limits = (
            "--memory",
            memory,
            "--pids-limit",
            "256",
            "--read-only",
            "--cap-drop",
            "ALL",
            "--security-opt",
            "no-new-privileges",
        )
        return ["podman", "run", "--rm", *limits, *options, image, *words]

    def inspect(self, image: str) -> dict[str, Any]:
        """An image's description."""
        ran = self._run(["podman", "image", "inspect", image], self.environment)
        assert ran.code == 0, ran.err
        found: dict[str, Any] = json.loads(ran.out)[0]
        return found

    def _run(self, words: Sequence[str], env: Mapping[str, str]) -> Ran:
        done = subprocess.run(words, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
        return Ran(done.returncode, done.stdout, done.stderr)
