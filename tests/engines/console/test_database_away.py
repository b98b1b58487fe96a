"""The database goes away for a quarter of a minute, much longer than leases last: nothing is failed, and everything goes on."""

import json
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from postgres_server import PostgresServer

from lorafleet.demo.services import Service, start
from tests.engines.console.fleet import Workers, attempts, job
from tests.unit.console.api.console_process import ConsoleProcess, Serve
from tests.unit.console.api.running_console import API, new_job, new_text_set, problem, soon
from trainer.tiny.causal_lm import make_llama

AWAY_SECONDS = 12.0
LEASES = ("--lease-seconds", "2", "--grace-seconds", "1")


def both_run(console: ConsoleProcess, names: list[str]) -> bool:
    return all(job(console, name)["published_step"] for name in names)


def nobody_failed(console: ConsoleProcess, names: list[str]) -> None:
    for name in names:
        soon(lambda name=name: job(console, name)["state"] == "succeeded", 60)  # type: ignore[misc]
        (only,) = attempts(console, name)
        assert (only["fence"], only["state"]) == (1, "succeeded")


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_two_workers_and_two_consoles(
    serve: Serve, server: PostgresServer, workers: Workers, chance: random.Random, how: str
) -> None:
    consoles = [serve("--replicas", "2", *LEASES) for _ in range(2)]
    dataset = new_text_set(consoles[0].admin)
    names = [new_job(consoles[0].admin, dataset, training={"base_model": "x", "max_steps": 300})["id"] for _ in range(2)]
    for number, console in enumerate(consoles):
        workers.start(console, f"w-{number}")
    soon(lambda: both_run(consoles[0], names), 30)
    time.sleep(chance.uniform(0, 1))

    until = time.monotonic() + AWAY_SECONDS
    if how == "stopped":
        server.stop(signal.SIGINT)
        while time.monotonic() < until:
            for console in consoles:
                problem(console.admin.get(f"{API}/jobs"), 503)
                problem(console.admin.get("/readyz"), 503)
            time.sleep(0.5)
        server.start()
    else:
        server.freeze()
        while time.monotonic() < until:
            for console in consoles:
                assert console.admin.get("/healthz").status_code == 200
            time.sleep(0.5)
        server.thaw()
    nobody_failed(consoles[1], names)


@pytest.fixture
def trained(tmp_path: Path) -> Iterator[Any]:
    """Starts real workers."""
    started: list[Service] = []
    models = tmp_path / "models"
    make_llama(models)

    def begin(console: ConsoleProcess, name: str) -> Service:
        words = ["worker", "--console", console.url, "--site", "local", "--release", console.release, "--worker", name]
        words += ["--credential-file", str(console.directory / "enrolment" / "local"), "--models", str(models)]
        started.append(start(name, tmp_path / "logs", [*words, "--work", str(tmp_path / name), "--device", "cpu"]))
        return started[-1]

    yield begin
    for service in started:
        service.kill()
        print(service.log.read_text(errors="replace")[-3000:])


def test_a_real_training(serve: Serve, server: PostgresServer, trained: Any, tmp_path: Path) -> None:
    console = serve(*LEASES)
    rows = [{"prompt": f"Count to {number}.", "completion": " ".join(map(str, range(number)))} for number in range(1, 25)]
    made = console.admin.post(f"{API}/datasets", json={"name": "counting", "kind": "texts"}).json()
    files = [("files", ("a.jsonl", "\n".join(map(json.dumps, rows)).encode()))]
    assert console.admin.post(f"{API}/datasets/{made['id']}/uploads", files=files).status_code == 201
    training = {
        "base_model": "tiny-llama", "family": "causal_lm", "lora_rank": 2, "batch_size": 2, "max_length": 64, "packing": False,
        "save_steps": 20, "log_every": 5, "epochs": 100_000,
    }  # fmt: skip
    name = new_job(console.admin, made["id"], training=training)["id"]
    trained(console, "w")
    soon(lambda: bool(job(console, name)["published_step"]), 90)
    before = job(console, name)["published_step"]
    server.stop(signal.SIGINT)
    time.sleep(AWAY_SECONDS / 2)
    problem(console.admin.get(f"{API}/jobs"), 503)
    server.start()
    soon(lambda: job(console, name)["published_step"] > before, 30)
    assert console.admin.post(f"{API}/jobs/{name}/finish").status_code < 300
    nobody_failed(console, [name])
