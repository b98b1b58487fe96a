"""Pulumi's engine on this project, with everything that it would fetch or share replaced by what the tests built.

The program, its stack files and the command line are the user's. The test's own copy of Pulumi.yaml only adds where the plugins and
the virtual environment are.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.incluster.config import is_incluster
from tests.engines.processes import binary, wait_until

ROOT = Path(__file__).parents[3]
POLICIES = ("--policy-pack", str(ROOT / "infra/policy"))
"""The words with which the engine holds a program against the project's rules."""
CLOUDS = ("aws", "gcp", "azure-native")
_BUILD = "tests/engines/pulumi/build.sh"
_LONGEST = 600
"""Seconds that one command of Pulumi's may take: the Kubernetes provider alone waits 300 for a namespace."""


@dataclass(frozen=True)
class Ran:
    """How a command of Pulumi's ended. ``changes`` counts the resources by what was done to them; ``same`` is not among them."""

    code: int
    text: str
    changes: Mapping[str, int]


class Engine:
    """A project of its own, with a backend of its own, in ``folder``; several stacks can be in it.

    ``environment`` is what Pulumi and its plugins see besides what keeps them here, such as ``KUBECONFIG``; ``tools`` is a folder that
    comes first on their PATH.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self._environment = dict(environment or {})
        self.project = folder / "project"
        self.store = folder / "cloud"
        self.tools = folder / "tools"
        for each in (self.project, self.tools, folder / "backend", folder / "home"):
            each.mkdir(parents=True)
        (self.project / "infra").symlink_to(ROOT / "infra")
        settings = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
        settings["runtime"]["options"]["virtualenv"] = sys.prefix
        settings["plugins"] = {"providers": [*map(self._stand_in, CLOUDS), self._kubernetes()]}
        (self.project / "Pulumi.yaml").write_text(yaml.safe_dump(settings))

    def _stand_in(self, package: str) -> dict[str, str]:
        told = version(f"pulumi-{package}")
        folder = self.folder / "plugins" / package
        folder.mkdir(parents=True)
        plugin = folder / f"pulumi-resource-{package}"
        places = os.pathsep.join(map(str, (ROOT, ROOT / "tests/unit/infra")))
        module = "tests.engines.pulumi.cloud_standin"
        plugin.write_text(f'#!/bin/sh\nPYTHONPATH="{places}" exec "{sys.executable}" -m {module} {package} {told}\n')
        plugin.chmod(0o755)
        return {"name": package, "path": str(folder)}

    def _kubernetes(self) -> dict[str, str]:
        folder = self.folder / "plugins" / "kubernetes"
        folder.mkdir(parents=True)
        name = "pulumi-resource-kubernetes"
        (folder / name).symlink_to(binary(name, _BUILD))
        return {"name": "kubernetes", "path": str(folder)}

    def environment(self) -> dict[str, str]:
        """What Pulumi and everything that it starts sees."""
        places = (self.tools, binary("pulumi", _BUILD).parent, os.environ["PATH"])
        return {
            "PATH": os.pathsep.join(map(str, places)),
            "HOME": str(self.folder / "home"),
            "PULUMI_HOME": str(self.folder / "home"),
            "PULUMI_BACKEND_URL": f"file://{self.folder / 'backend'}",
            "PULUMI_CONFIG_PASSPHRASE": "",
            # Without it there is no --event-log.
            "PULUMI_DEBUG_COMMANDS": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_IGNORE_AMBIENT_PLUGINS": "true",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "STANDIN_STORE": str(self.store),
            **self._environment,
        }

    def add_stack(self, name: str, config: Mapping[str, Any] | None = None) -> "Stack":
        """A stack with the repository's own stack file, or with ``config`` in its place."""
        path = self.project / f"Pulumi.{name}.yaml"
        if config is None:
            shutil.copy(ROOT / path.name, path)
        else:
            path.write_text(yaml.safe_dump({"config": dict(config)}, sort_keys=False))
        stack = Stack(self, name, path)
        made = stack.run("stack", "init", name)
        assert made.code == 0, made.text
        return stack


@dataclass(frozen=True)
class Stack:
    """One stack of an engine's project. ``file`` is its configuration."""

    engine: Engine
    name: str
    file: Path

    def up(self, **environment: str) -> Ran:
        return self._operation("up", "--yes", "--skip-preview", **environment)

    def preview(self, *words: str, **environment: str) -> Ran:
        return self._operation("preview", *words, **environment)

    def refresh(self) -> Ran:
        return self._operation("refresh", "--yes", "--skip-preview")

    def destroy(self) -> Ran:
        # Without its preview it would delete everything around what is protected before it fails.
        return self._operation("destroy", "--yes")

    def state(self) -> dict[str, Any]:
        """The stack's whole state; a secret in it is encrypted."""
        exported = self.run("stack", "export", "--stack", self.name)
        assert exported.code == 0, exported.text
        deployment: dict[str, Any] = json.loads(exported.text)["deployment"]
        return deployment

    def made(self) -> set[tuple[str, str]]:
        """Token and id of everything that the state says there is in a cloud."""
        resources = self.state().get("resources", [])
        return {(each["type"], each["id"]) for each in resources if each["custom"] and not each["type"].startswith("pulumi:")}

    def outputs(self) -> dict[str, Any]:
        shown = self.run("stack", "output", "--json", "--stack", self.name)
        assert shown.code == 0, shown.text
        told: dict[str, Any] = json.loads(shown.text)
        return told

    def change_config(self, **changes: Any) -> None:
        """Change keys of the stack's one setting in its file."""
        whole = yaml.safe_load(self.file.read_text())
        whole["config"]["lorafleet:incluster" if is_incluster(self.name) else "lorafleet:site"].update(changes)
        self.file.write_text(yaml.safe_dump(whole, sort_keys=False))

    def interrupted_up(self, when: Callable[[], bool], **environment: str) -> Ran:
        """``up`` that gets Ctrl-C as soon as ``when()`` is true."""

        def press(process: "subprocess.Popen[bytes]") -> None:
            wait_until(when, 120, "the interrupted up reached its middle", every=0.02)
            os.killpg(process.pid, signal.SIGINT)

        return self._run(("up", "--yes", "--skip-preview", "--stack", self.name), environment, press)

    def run(self, *words: str, **environment: str) -> Ran:
        return self._run(words, environment)

    def _operation(self, *words: str, **environment: str) -> Ran:
        events = self.engine.folder / f"events-{time.monotonic_ns()}.json"
        ran = self.run(*words, "--stack", self.name, "--event-log", str(events), **environment)
        changes: Counter[str] = Counter()
        if events.exists():
            for line in events.read_text().splitlines():
                summary = json.loads(line).get("summaryEvent")
                if summary:
                    changes.update(summary["resourceChanges"])
            events.unlink()
        changes.pop("same", None)
        return Ran(ran.code, ran.text, {kind: count for kind, count in changes.items() if count})

    def _run(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        meanwhile: "Callable[[subprocess.Popen[bytes]], None]" = lambda _: None,
    ) -> Ran:
        out, err = (self.engine.folder / f"{self.name}.{kind}" for kind in ("out", "err"))
        with out.open("wb") as told, err.open("wb") as errors:
            process = subprocess.Popen(
                [str(binary("pulumi", _BUILD)), *words, "--non-interactive", "--color=never"],
                env={**self.engine.environment(), **environment},
                cwd=self.engine.project,
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=errors,
                start_new_session=True,
            )
            try:
                meanwhile(process)
                code = process.wait(timeout=_LONGEST)
            except subprocess.TimeoutExpired:
                pytest.fail(f"pulumi {' '.join(words)} took longer than {_LONGEST} s:\n{out.read_text()[-4000:]}", pytrace=False)
            finally:
                if process.poll() is None:
                    # Asked twice it leaves at once, and its plugins with it.
                    for _ in range(2):
                        os.killpg(process.pid, signal.SIGINT)
                        time.sleep(0.5)
                    process.kill()
                    process.wait()
        return Ran(code, out.read_text() + (err.read_text() if code else ""), {})
