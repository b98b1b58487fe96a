"""Real processes: killed at random, told to stop, and several as one run."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from trainer.tiny.stable_diffusion import make_sd15

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'plugin'}",
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Ten pictures in two buckets over a tiny Stable Diffusion; dropout, flips and caption dropout draw random numbers."""
    folder = tmp_path_factory.mktemp("photos")
    base = make_sd15(folder / "base")
    images = folder / "images"
    images.mkdir()
    for number in range(10):
        size = (96, 64) if number % 3 else (64, 64)
        noise = random.Random(number).randbytes(8 * 8 * 3)
        Image.frombytes("RGB", (8, 8), noise).resize(size).save(images / f"{number}.png")
        (images / f"{number}.txt").write_text(f"picture {number}")
    return {
        "train_data_dir": str(images),
        "base_model": str(base.checkpoint),
        "base_config": str(base.config),
        "resolution": 64,
        "bucket_step": 32,
        "lora_rank": 2,
        "lora_dropout": 0.1,
        "augmentations": ["flip"],
        "caption_dropout": 0.2,
        "batch_size": 2,
        "epochs": 4,
        "learning_rate": 1e-3,
        "scheduler": "cosine",
        "save_steps": 3,
        "log_every": 1,
        "output_name": "w",
        "export_precision": "fp32",
        "cache_dir": str(folder / "cache"),
    }


def start(config: dict[str, Any], folder: Path) -> subprocess.Popen[str]:
    path = folder / f"{Path(config['output_dir']).name}.yaml"
    path.write_text(yaml.safe_dump(config))
    command = [sys.executable, str(ROOT / "train.py"), "--config", str(path)]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def steps_logged(out: Path) -> int:
    try:
        lines = (out / "log.jsonl").read_text().splitlines()
        return max((json.loads(line)["step"] for line in lines), default=0)
    except (OSError, ValueError):
        return 0


def wait_for_step(process: subprocess.Popen[str], out: Path, step: int) -> None:
    deadline = time.monotonic() + 120
    while steps_logged(out) < step and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_killed_at_random_steps_a_run_ends_with_the_same_bits(photos: dict[str, Any], tmp_path: Path) -> None:
    whole = start({**photos, "output_dir": str(tmp_path / "whole")}, tmp_path)
    output, _ = whole.communicate(timeout=200)
    assert whole.returncode == 0, output
    total = steps_logged(tmp_path / "whole")
    seed = random.randrange(10**6)
    dice = random.Random(seed)
    kills = sorted(dice.sample(range(1, total), 2))
    print(f"seed {seed}: killing at steps {kills} of {total}")
    out = tmp_path / "killed"
    for step in kills:
        process = start({**photos, "output_dir": str(out)}, tmp_path)
        wait_for_step(process, out, step)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        assert not (out / "w.safetensors").exists()
    process = start({**photos, "output_dir": str(out)}, tmp_path)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    first, second = (load_file(tmp_path / name / "w.safetensors") for name in ("whole", "killed"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first), f"seed {seed}"
    steps = [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines() if "loss" in json.loads(line)]
    assert steps == list(range(1, total + 1))


def test_sigterm_saves_within_twenty_seconds_and_never_looks_finished(photos: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "stopped"
    process = start({**photos, "output_dir": str(out), "epochs": 10000, "save_steps": 0}, tmp_path)
    wait_for_step(process, out, 3)
    asked = time.monotonic()
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=20)
    assert time.monotonic() - asked < 20
    assert process.returncode == 75
    assert not (out / "w.safetensors").exists()
    folders = list((out / "checkpoints").glob("step-*"))
    assert len(folders) == 1
    last = output.strip().splitlines()[-1]
    assert "is saved" in last
    assert "Traceback" not in output


def test_two_processes_train_as_one_with_twice_the_batch(tmp_path: Path) -> None:
    data = tmp_path / "waves.json"
    data.write_text(json.dumps([0.1 * number for number in range(10)]))
    common = {
        "train_data_dir": str(data), "base_model": str(data), "family": "waves", "lora_rank": 2, "epochs": 4, "learning_rate": 1e-2,
        "output_name": "w", "export_precision": "fp32", "device": "cpu", "validation_split": 0.2,
    }  # fmt: skip
    one = start({**common, "batch_size": 4, "output_dir": str(tmp_path / "one")}, tmp_path)
    output, _ = one.communicate(timeout=100)
    assert one.returncode == 0, output
    path = tmp_path / "two.yaml"
    path.write_text(yaml.safe_dump({**common, "batch_size": 2, "output_dir": str(tmp_path / "two")}))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node=2",
        "--master-addr=127.0.0.1",
        f"--master-port={port}",
    ]
    done = subprocess.run(
        [*launcher, str(ROOT / "train.py"), f"--config={path}"],
        env={**ENVIRONMENT, "GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second = (load_file(tmp_path / name / "w.safetensors") for name in ("one", "two"))
    assert first.keys() == second.keys()
    assert all(torch.allclose(first[name], second[name], atol=1e-6) for name in first)
    losses = [
        [
            json.loads(line)["validation_loss"]
            for line in (tmp_path / name / "log.jsonl").read_text().splitlines()
            if "validation_loss" in line
        ]
        for name in ("one", "two")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
