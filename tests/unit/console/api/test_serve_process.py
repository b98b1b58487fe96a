"""``lorafleet serve`` as a process: addresses, signals, unsafe set-ups, and kill -9 where something just became durable."""

import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from lorafleet.cli import main
from lorafleet.console.failpoints import VARIABLE, Failpoint
from lorafleet.contracts import paths
from tests.unit.console.api.running_console import API, HttpWorker, new_job, new_text_set, quick_client, soon

# Real processes, forked from one that has imported everything already, since most of a start is imports.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["lorafleet.console.server", "lorafleet.console.serve_command", "lorafleet.console.app"])


def run_command(arguments: list[str], environment: dict[str, str], output: Path) -> None:
    """The command's process."""
    os.environ.update(environment)
    with output.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.exit(main(["serve", *arguments]))


@dataclass
class ConsoleProcess:
    """The console as tests of a worker know it."""

    directory: Path
    process: Any
    output: Path
    url: str
    page: str
    release: str
    clients: list[httpx.Client] = field(default_factory=list)
    workers: list[httpx.Client] = field(default_factory=list)

    @property
    def admin(self) -> httpx.Client:
        if not self.clients:
            token = (self.directory / "token").read_text().strip()
            self.clients.append(quick_client(base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=20))
        return self.clients[0]

    @property
    def port(self) -> str:
        return self.url.rpartition(":")[2]

    def worker(self, name: str = "worker-1") -> HttpWorker:
        worker = HttpWorker(self, name=name, release=self.release)
        self.workers.append(worker.http)
        return worker

    def stop(self, number: int = signal.SIGTERM) -> int | None:
        if self.process.is_alive():
            os.kill(self.process.pid, number)
        self.process.join(20)
        return self.process.exitcode


Serve = Callable[..., ConsoleProcess]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    running: list[ConsoleProcess] = []

    def start(*options: str, failpoint: str = "") -> ConsoleProcess:
        ready, output = tmp_path / "ready.json", tmp_path / f"output-{len(running)}"
        ready.unlink(missing_ok=True)
        arguments = ["--dir", str(tmp_path / "console"), "--port", "0", "--ready-file", str(ready), *options]
        process = CONTEXT.Process(target=run_command, args=(arguments, {VARIABLE: failpoint}, output))
        process.start()
        soon(lambda: ready.exists() or not process.is_alive(), 60)
        assert ready.exists(), output.read_text()
        told = json.loads(ready.read_text())
        running.append(ConsoleProcess(tmp_path / "console", process, output, told["url"], told["page"], told["release"]))
        return running[-1]

    yield start
    for each in running:
        each.stop(signal.SIGKILL)
        for client in (*each.clients, *each.workers):
            client.close()


def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, *options: str) -> tuple[int, list[str]]:
    code = main(["serve", "--dir", str(tmp_path / "console"), "--port", "0", *options])
    return code, capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_while_a_worker_waits(serve: Serve, number: int) -> None:
    console = serve()
    assert httpx.get(console.page).status_code == 303
    worker = console.worker().enrol()
    answers: list[int] = []
    asking = threading.Thread(target=lambda: answers.append(worker.ask_lease(60).status_code))
    asking.start()
    soon(lambda: bool(console.admin.get(f"{API}/workers").json()))
    assert console.stop(number) == 0
    asking.join(10)
    assert answers == [204]
    # Closed, not merely ended: SQLite has no journal left over.
    assert not (console.directory / "console.sqlite-wal").exists()


def test_what_it_prints_names_files_and_never_a_credential(serve: Serve) -> None:
    console = serve()
    credential = (console.directory / "enrolment" / "local").read_text().strip()
    token = (console.directory / "token").read_text().strip()
    console.stop()
    printed = console.output.read_text()
    assert "/login/once?token=" in printed
    assert str(console.directory / "enrolment" / "local") in printed
    assert credential not in printed
    assert token not in printed
    again = serve()
    assert (again.directory / "enrolment" / "local").read_text().strip() == credential
    assert again.admin.get(f"{API}/me").json()["role"] == "admin"


@pytest.mark.parametrize(
    ("options", "environment", "word"),
    [
        (["--host", "0.0.0.0", "--no-auth", "--public-url", "https://console.example"], {}, "loopback"),
        (["--host", "0.0.0.0", "--public-url", "http://console.example"], {}, "plain http"),
        (["--no-auth", "--public-url", "https://console.example"], {}, "loopback"),
        (["--replicas", "2"], {}, "SQLite"),
        ([], {"LORAFLEET_SECRET": "changethis"}, "secret"),
        ([], {"LORAFLEET_SECRET": "changethis-changethis-changethis-changethis"}, "secret"),
        (["--database", "mysql://x"], {}, "database"),
        (["--site", "a=ftp://x"], {}, "store"),
        (["--site", "a", "--site", "a"], {}, "twice"),
        (["--store-secret", "b=x"], {}, "--store-secret"),
    ],
)
def test_an_unsafe_or_wrong_set_up_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    options: list[str],
    environment: dict[str, str],
    word: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    code, lines = refused(capsys, tmp_path, *options)
    assert code != 0
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    assert word in lines[0]


def test_a_second_console_on_the_same_directory_is_refused(
    serve: Serve, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    serve()
    code, lines = refused(capsys, tmp_path)
    assert (code, len(lines)) == (74, 1)
    assert "another console" in lines[0]


def gone(call: Callable[[], Any]) -> bool:
    try:
        call()
    except httpx.TransportError:
        return True
    return False


def killed(console: ConsoleProcess) -> None:
    console.process.join(20)
    assert console.process.exitcode == -signal.SIGKILL


def test_kill_9_after_a_submission_loses_nothing_and_doubles_nothing(serve: Serve) -> None:
    dataset = new_text_set((console := serve(failpoint=Failpoint.SUBMIT_COMMITTED)).admin)
    body = {"name": "neon", "dataset": dataset, "training": {"base_model": "x"}}
    headers = {"Idempotency-Key": "k"}
    assert gone(lambda: console.admin.post(f"{API}/jobs", json=body, headers=headers))
    killed(console)
    again = serve()
    answer = again.admin.post(f"{API}/jobs", json=body, headers=headers)
    assert answer.status_code == 201
    assert [row["id"] for row in again.admin.get(f"{API}/jobs").json()["rows"]] == [answer.json()["id"]]


@pytest.mark.parametrize("point", [Failpoint.DATASET_STORED, Failpoint.DATASET_COMMITTED])
def test_kill_9_in_an_upload_leaves_a_whole_version_or_none(serve: Serve, point: Failpoint) -> None:
    console = serve(failpoint=point)
    assert gone(lambda: new_text_set(console.admin))
    killed(console)
    again = serve()
    (row,) = again.admin.get(f"{API}/datasets").json()["rows"]
    assert (row["version"] is not None) == (point is Failpoint.DATASET_COMMITTED)
    if row["version"] is not None:
        view = again.admin.get(f"{API}/datasets/{row['id']}/versions/{row['version']}").json()
        assert view["rows"] == 2
        for file in view["files"]:
            got = again.admin.get(f"{API}/datasets/{row['id']}/versions/{row['version']}/files/{file['name']}")
            assert len(got.content) == file["size"]
    more = [("files", ("b.jsonl", b'{"text": "more"}'))]
    assert again.admin.post(f"{API}/datasets/{row['id']}/uploads", files=more).status_code == 201


@pytest.mark.parametrize("point", [Failpoint.LEASE_COMMITTED, Failpoint.LEASE_BOUND])
def test_kill_9_after_a_lease_gives_the_job_to_another(serve: Serve, point: Failpoint) -> None:
    console = serve("--lease-seconds", "1", "--grace-seconds", "0", failpoint=point)
    dataset = new_text_set(console.admin)
    job = new_job(console.admin, dataset)["id"]
    assert gone(lambda: console.worker().leased())
    killed(console)
    again = serve("--lease-seconds", "1", "--grace-seconds", "0")
    second = again.worker("worker-2").leased()
    assert (second.job, second.fence) == (job, 2)
    assert [row["state"] for row in again.admin.get(f"{API}/jobs/{job}/attempts").json()] == ["lost", "leased"]


@pytest.mark.parametrize(
    ("point", "published"),
    [(Failpoint.HEARTBEAT_COMMITTED, None), (Failpoint.CHECKPOINT_VERIFIED, None), (Failpoint.CHECKPOINT_COMMITTED, 4)],
)
def test_kill_9_round_a_checkpoint(serve: Serve, point: Failpoint, published: int | None) -> None:
    console = serve()
    dataset = new_text_set(console.admin)
    job = new_job(console.admin, dataset)["id"]
    worker = console.worker().leased()
    console.stop()
    crashing = serve("--port", console.port, failpoint=point)
    worker.console = crashing
    assert gone(lambda: worker.heartbeat() and worker.publish(4))
    killed(crashing)
    again = serve("--port", console.port)
    assert again.admin.get(f"{API}/jobs/{job}").json()["published_step"] == published
    # The worker knows nothing of it and says the same again.
    assert worker.heartbeat(1).status_code == 200
    assert worker.publish(4).status_code == 204
    assert [row["step"] for row in again.admin.get(f"{API}/jobs/{job}/checkpoints").json()] == [4]
    assert worker.succeed().status_code == 204


@pytest.mark.parametrize(("point", "state"), [(Failpoint.OUTCOME_VERIFIED, "running"), (Failpoint.OUTCOME_COMMITTED, "succeeded")])
def test_kill_9_round_an_outcome(serve: Serve, point: Failpoint, state: str) -> None:
    console = serve(failpoint=point)
    dataset = new_text_set(console.admin)
    job = new_job(console.admin, dataset)["id"]
    worker = console.worker().leased()
    worker.heartbeat()
    assert gone(worker.succeed)
    killed(console)
    again = serve("--port", console.port)
    assert again.admin.get(f"{API}/jobs/{job}").json()["state"] == state
    said = worker.say(paths.OUTCOME, outcome="succeeded", exit_code=0, step=10, outputs=[worker.output])
    assert said.status_code == 204
    ended = again.admin.get(f"{API}/jobs/{job}").json()
    assert (ended["state"], len(ended["outputs"])) == ("succeeded", 1)


def test_kill_9_after_a_cancel(serve: Serve) -> None:
    console = serve(failpoint=Failpoint.CANCEL_COMMITTED)
    dataset = new_text_set(console.admin)
    job = new_job(console.admin, dataset)["id"]
    assert gone(lambda: console.admin.post(f"{API}/jobs/{job}/cancel"))
    killed(console)
    assert serve().admin.post(f"{API}/jobs/{job}/cancel").json()["state"] == "cancelled"
