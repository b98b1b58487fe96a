"""Worker processes for tests, and the jobs that they get."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from protocol_server import CREDENTIAL

ROOT = Path(__file__).parents[4]
COMMAND = [sys.executable, "-c", "import sys; from lorafleet.cli import main; sys.exit(main())"]
RELEASE = f"sha256:{'a' * 64}"
WAVES = json.dumps([0.1 * number for number in range(10)])


class RunningWorker:
    """A ``lorafleet worker`` process. Its output goes to a file, so that no pipe fills up."""

    def __init__(self, url: str, folder: Path, name: str, *options: str, faults: dict[str, Any] | None = None, **more: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "credential").write_text(CREDENTIAL + "\n")
        self.work = folder / f"worker-{name}"
        self._output = folder / f"{name}.out"
        command = [
            *COMMAND, "worker", f"--console={url}", "--site=site-1", f"--worker={name}", f"--release={RELEASE}",
            f"--credential-file={folder / 'credential'}", f"--work={folder}", "--device=cpu", "--json", *options,
        ]  # fmt: skip
        self.process = subprocess.Popen(
            command,
            stdout=self._output.open("w"),
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'plugin'}",
                "OMP_NUM_THREADS": "1",
                "LORAFLEET_EXAMPLE_FAULTS": json.dumps(faults or {}),
                **more,
            },
        )

    @property
    def output(self) -> str:
        return self._output.read_text()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.splitlines() if line.startswith("{")]

    def end(self, seconds: float = 150) -> int:
        return self.process.wait(seconds)

    def children(self) -> list[int]:
        text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(word) for word in text.split()]

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        print(self.output)


def waves(**more: Any) -> dict[str, Any]:
    """A job on the plug-in's small family."""
    return {
        "base_model": "waves.json",
        "family": "waves",
        "lora_rank": 2,
        "batch_size": 4,
        "epochs": 1000,
        "max_steps": 40,
        "learning_rate": 1e-2,
        "export_precision": "fp32",
        "save_steps": 10,
        "log_every": 1,
        **more,
    }
