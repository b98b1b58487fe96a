"""``lorafleet worker`` with a real training: its database is away, or the training neither hears nor answers."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from postgres_server import PostgresServer

from lorafleet.console.domain.records import Submission
from lorafleet.console.store.ledger import open_ledger
from lorafleet.contracts import layout
from lorafleet.contracts.jobs import PublishedObject
from lorafleet.demo.services import Service, start
from tests.engines.console.fleet import attempts, job
from tests.unit.console.api.console_process import ConsoleProcess, Serve
from tests.unit.console.api.running_console import API, new_job, problem, soon
from trainer.tiny.causal_lm import make_llama

LEASE, GRACE, RECONCILE = 3.0, 1.0, 1.0
SLACK = 5.0
AWAY_SECONDS = 8.0
WAVES = json.dumps([0.1 * number for number in range(10)]).encode()
PLUGIN = Path(__file__).parents[2] / "plugin"

StartWorker = Callable[[ConsoleProcess, Path], Service]


@pytest.fixture
def console(serve: Serve) -> ConsoleProcess:
    return serve("--lease-seconds", str(LEASE), "--grace-seconds", str(GRACE))


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[StartWorker]:
    started: list[Service] = []

    def begin(console: ConsoleProcess, models: Path) -> Service:
        words = ["worker", "--console", console.url, "--site", "local", "--release", console.release, "--models", str(models)]
        words += ["--credential-file", str(console.directory / "enrolment" / "local"), "--work", str(tmp_path / "work")]
        started.append(start("worker", tmp_path / "logs", [*words, "--device", "cpu"]))
        return started[-1]

    yield begin
    for service in started:
        service.kill()
        print(service.log.read_text(errors="replace")[-3000:])


def test_the_database_is_away_while_it_trains(
    console: ConsoleProcess, server: PostgresServer, start_worker: StartWorker, tmp_path: Path
) -> None:
    make_llama(tmp_path / "models")
    rows = [{"prompt": f"Count to {number}.", "completion": " ".join(map(str, range(number)))} for number in range(1, 25)]
    made = console.admin.post(f"{API}/datasets", json={"name": "counting", "kind": "texts"}).json()
    files = [("files", ("a.jsonl", "\n".join(map(json.dumps, rows)).encode()))]
    assert console.admin.post(f"{API}/datasets/{made['id']}/uploads", files=files).status_code == 201
    training = {
        "base_model": "tiny-llama", "family": "causal_lm", "lora_rank": 2, "batch_size": 2, "max_length": 64, "packing": False,
        "save_steps": 20, "log_every": 5, "epochs": 100_000,
    }  # fmt: skip
    name = new_job(console.admin, made["id"], training=training)["id"]
    start_worker(console, tmp_path / "models")
    soon(lambda: bool(job(console, name)["published_step"]), 90)
    before = job(console, name)["published_step"]
    server.stop(signal.SIGINT)
    time.sleep(AWAY_SECONDS)
    problem(console.admin.get(f"{API}/jobs"), 503)
    server.start()
    soon(lambda: job(console, name)["published_step"] > before, 30)
    assert console.admin.post(f"{API}/jobs/{name}/finish").status_code < 300
    soon(lambda: job(console, name)["state"] == "succeeded", 60)
    assert [(each["fence"], each["state"]) for each in attempts(console, name)] == [(1, "succeeded")]


@pytest.fixture
def hanging(
    console: ConsoleProcess, database: str, start_worker: StartWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, int]:
    """A job whose training never returns from its fifth step, and the id of its process."""
    monkeypatch.setenv("PYTHONPATH", str(PLUGIN))
    monkeypatch.setenv("LORAFLEET_EXAMPLE_FAULTS", json.dumps({"hang_at": 5}))
    models = tmp_path / "models"
    models.mkdir()
    (models / "waves.json").write_bytes(WAVES)
    ledger = open_ledger(database)
    made = ledger.datasets.create("default", "waves", "texts", "test")
    key = layout.dataset_object(made.id, "v1", "waves.json")
    stores = ("local", "backup")
    for store in stores:
        path = console.directory / "stores" / store / key
        path.parent.mkdir(parents=True)
        path.write_bytes(WAVES)
    item = PublishedObject(key=key, size=len(WAVES), sha256=sha256(WAVES).hexdigest())
    ledger.datasets.add_version("default", made.id, "v1", [item], 10, {}, stores, "test")
    training = {"base_model": "waves.json", "family": "waves", "lora_rank": 2, "batch_size": 4, "max_steps": 40}
    name = ledger.jobs.submit("default", Submission("waves", made.id, "v1", training), "test").id
    ledger.close()
    worker = start_worker(console, models)
    soon(lambda: "training begins" in worker.log.read_text(), 90)
    pid = worker.process.pid
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    soon(lambda: (job(console, name)["step"] or 0) >= 1, 30)
    return name, int(child)


def alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_a_training_that_ignores_sigterm_is_cancelled(console: ConsoleProcess, hanging: tuple[str, int]) -> None:
    name, child = hanging
    os.kill(child, signal.SIGTERM)
    time.sleep(1)
    assert alive(child)
    assert console.admin.post(f"{API}/jobs/{name}/cancel").status_code < 300
    soon(lambda: job(console, name)["state"] == "cancelled", LEASE + GRACE + RECONCILE + SLACK)
    soon(lambda: not alive(child), SLACK)
    assert [each["state"] for each in attempts(console, name)] == ["cancelled"]


def test_a_training_that_is_frozen_is_cancelled_and_ends_when_it_thaws(console: ConsoleProcess, hanging: tuple[str, int]) -> None:
    name, child = hanging
    os.kill(child, signal.SIGSTOP)
    assert console.admin.post(f"{API}/jobs/{name}/cancel").status_code < 300
    soon(lambda: job(console, name)["state"] == "cancelled", LEASE + GRACE + RECONCILE + SLACK)
    os.kill(child, signal.SIGCONT)
    soon(lambda: not alive(child), 20)
