"""A run whose data, base and output are on S3, whose machine is lost half-way."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load, load_file

from tests.contract.storage_suite import sha256
from tests.engines.conftest import S3Server
from trainer.storage.locations import Location
from trainer.storage.resume import latest_checkpoint
from trainer.storage.store import ObjectStore, open_store
from trainer.tiny.stable_diffusion import make_sd15

ROOT = Path(__file__).parents[2]


def start(config: dict[str, Any], work: Path) -> subprocess.Popen[str]:
    work.mkdir()
    (work / "run.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, str(ROOT / "train.py"), "--config", str(work / "run.yaml")]
    environment = {**os.environ, "LORAFLEET_WORK_DIR": str(work), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for_a_checkpoint(process: subprocess.Popen[str], remote: Location) -> None:
    until = time.monotonic() + 240
    while latest_checkpoint(remote) is None and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.05)


def upload(store: ObjectStore, folder: Path) -> None:
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        store.put(path.relative_to(folder).as_posix(), path)


@pytest.mark.timeout(900)
def test_a_run_on_s3_goes_on_where_its_lost_machine_published_last(
    remote: Location, s3_environment: S3Server, tmp_path: Path
) -> None:
    base = make_sd15(tmp_path / "base")
    images = tmp_path / "images"
    images.mkdir()
    for number in range(6):
        noise = random.Random(number).randbytes(8 * 8 * 3)
        Image.frombytes("RGB", (8, 8), noise).resize((64, 64)).save(images / f"{number}.png")
        (images / f"{number}.txt").write_text(f"picture {number}")
    upload(open_store(remote.child("data")), images)
    open_store(remote.child("base")).put("tiny.safetensors", base.checkpoint)
    config = {
        "base_config": str(base.config),
        "resolution": 64,
        "lora_rank": 2,
        "batch_size": 2,
        "epochs": 10_000,
        "save_steps": 4,
        "log_every": 1,
        "output_name": "w",
        "export_precision": "fp32",
    }
    on_s3 = {
        **config,
        "train_data_dir": f"{remote}/data",
        "base_model": f"{remote}/base/tiny.safetensors",
        "output_dir": f"{remote}/out",
    }
    output = remote.child("out")

    lost = start({**on_s3, "max_steps": None}, tmp_path / "lost")
    wait_for_a_checkpoint(lost, output)
    lost.send_signal(signal.SIGKILL)
    said, _ = lost.communicate(timeout=60)
    reached = latest_checkpoint(output)
    assert reached is not None, said
    step = int(reached.name.removeprefix("step-"))

    fresh = start({**on_s3, "max_steps": step + 6}, tmp_path / "fresh")
    said, _ = fresh.communicate(timeout=300)
    assert fresh.returncode == 0, said
    assert f"going on from step {step}" in said
    for secret in (s3_environment.access_key, s3_environment.secret_key):
        assert secret not in said

    here = {**config, "max_steps": step + 6, "train_data_dir": str(images), "base_model": str(base.checkpoint)}
    whole = start({**here, "output_dir": str(tmp_path / "whole")}, tmp_path / "unused")
    said, _ = whole.communicate(timeout=300)
    assert whole.returncode == 0, said
    store = open_store(output)
    published, expected = load(store.read("w.safetensors")), load_file(tmp_path / "whole" / "w.safetensors")
    assert published.keys() == expected.keys()
    assert all(torch.equal(published[name], expected[name]) for name in expected)

    twin = next(path for path in (tmp_path / "fresh").iterdir() if (path / "w.safetensors").exists())
    assert sha256(store.read("w.safetensors")) == sha256((twin / "w.safetensors").read_bytes())
    names = {facts.name for facts in store.list()}
    assert {"w.safetensors", "log.jsonl", "loss.png", "data-report.json"} <= names
    steps = {name.split("/")[1] for name in names if name.startswith("checkpoints/")}
    assert len(steps) == 2, "retired checkpoints are gone from the store too"
    assert all(f"checkpoints/{folder}/MANIFEST.json" in names for folder in steps)
    assert not any(".write-probe" in name for name in names)
