"""A worker and the real console, over its own API: nothing of either is replaced."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from safetensors.torch import load_file
from worker_bed import COMMAND, ROOT, RunningWorker

from lorafleet.client.address import Address
from lorafleet.client.client import Client
from lorafleet.client.collect import collect
from lorafleet.contracts.console_api import NewJob
from lorafleet.contracts.job_states import AttemptState, JobState
from trainer.tiny.causal_lm import make_llama

TRAINING: dict[str, Any] = {
    "base_model": "tiny-llama",
    "family": "causal_lm",
    "lora_rank": 2,
    "batch_size": 2,
    "max_length": 64,
    "packing": False,
    "learning_rate": 1e-3,
    "save_steps": 20,
    "log_every": 5,
    "epochs": 100_000,
    "sample_prompts": ["Count to 3."],
    "sample_every": 1_000_000,
    "sample_max_tokens": 4,
}


@pytest.fixture
def ready(tmp_path: Path) -> Iterator[dict[str, Any]]:
    options = ["--dir", str(tmp_path / "console"), "--port", "0", "--site", "site-1", "--ready-file", str(tmp_path / "ready.json")]
    log = tmp_path / "console.log"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*COMMAND, "serve", *options, "--lease-seconds", "6", "--grace-seconds", "2"],
        stdout=log.open("w"), stderr=subprocess.STDOUT, env=environment,
    )  # fmt: skip
    deadline = time.monotonic() + 150
    while not (tmp_path / "ready.json").exists():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    yield json.loads((tmp_path / "ready.json").read_text())
    process.send_signal(signal.SIGKILL)
    process.wait()
    print(log.read_text()[-4000:])


def test_submitted_lost_taken_over_finished_and_downloaded(ready: dict[str, Any], tmp_path: Path) -> None:
    models = tmp_path / "models"
    make_llama(models)
    rows = [{"prompt": f"Count to {number}.", "completion": " ".join(map(str, range(number)))} for number in range(1, 25)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    token = Path(ready["token_file"]).read_text().strip()

    def start(name: str, *options: str) -> RunningWorker:
        credential = f"--credential-file={ready['credential_files']['site-1']}"
        release = f"--release={ready['release']}"
        return RunningWorker(ready["url"], tmp_path / name, name, f"--models={models}", credential, release, *options)

    started: list[RunningWorker] = []
    try:
        with Client(Address(ready["url"], SecretStr(token))) as client:
            dataset = client.create_dataset("counting", kind="texts")
            client.upload(dataset.id, collect([tmp_path / "rows.jsonl"]))
            job = client.submit(NewJob(name="counting", dataset=dataset.id, training=TRAINING))
            started.append(start("w-1"))
            _until(lambda: (client.job(job.id).published_step or 0) >= 20)
            started[0].process.send_signal(signal.SIGKILL)
            started[0].end()
            started.append(start("w-2", "--once"))
            _until(lambda: len(client.attempts(job.id)) == 2)
            client.finish(job.id)
            assert started[1].end() == 0
            done = client.job(job.id)
            assert done.state is JobState.SUCCEEDED
            first, second = sorted(client.attempts(job.id), key=lambda attempt: attempt.fence)
            assert (first.state, second.state) == (AttemptState.LOST, AttemptState.SUCCEEDED)
            assert second.start_step >= 20
            assert client.download(job.id, done.outputs[0].name, tmp_path / "w.safetensors") > 0
            assert load_file(tmp_path / "w.safetensors")
    finally:
        for worker in started:
            worker.close()


def _until(condition: Any) -> None:
    deadline = time.monotonic() + 150
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
