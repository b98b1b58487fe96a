"""``lorafleet serve`` as a process: addresses, signals, unsafe set-ups, and kill -9 where something just became durable."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from lorafleet.console.failpoints import VARIABLE, Failpoint
from lorafleet.contracts import paths
from tests.unit.console.api.running_console import API, HttpWorker, new_dataset, new_job

COMMAND = [sys.executable, "-c", "import sys; from lorafleet.cli import main; sys.exit(main())", "serve"]


@dataclass
class ConsoleProcess:
    """The console as tests of a worker know it."""

    directory: Path
    process: subprocess.Popen[str]
    url: str
    page: str
    clients: list[httpx.Client] = field(default_factory=list)

    @property
    def admin(self) -> httpx.Client:
        token = (self.directory / "token").read_text().strip()
        client = httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=20)
        self.clients.append(client)
        return client

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(20)


Serve = Callable[..., ConsoleProcess]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    running: list[ConsoleProcess] = []

    def start(*options: str, failpoint: str = "") -> ConsoleProcess:
        ready = tmp_path / "ready.json"
        ready.unlink(missing_ok=True)
        arguments = [*COMMAND, "--dir", str(tmp_path / "console"), "--port", "0", "--ready-file", str(ready), *options]
        environment = {**os.environ, VARIABLE: failpoint, "LORAFLEET_SECRET": ""}
        process = subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        end = time.monotonic() + 30
        while not ready.exists():
            assert process.poll() is None, process.stdout and process.stdout.read()
            assert time.monotonic() < end
            time.sleep(0.02)
        told = json.loads(ready.read_text())
        running.append(ConsoleProcess(tmp_path / "console", process, told["url"], told["page"]))
        return running[-1]

    yield start
    for each in running:
        each.stop(signal.SIGKILL)
        for client in each.clients:
            client.close()
        if each.process.stdout is not None:
            each.process.stdout.close()


def refused(tmp_path: Path, *options: str, **environment: str) -> tuple[int, list[str]]:
    arguments = [*COMMAND, "--dir", str(tmp_path / "console"), "--port", "0", *options]
    done = subprocess.run(arguments, env={**os.environ, **environment}, capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stderr.splitlines()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_while_a_worker_waits(serve: Serve, number: int) -> None:
    console = serve()
    assert httpx.get(console.page).status_code == 303
    worker = HttpWorker(console)  # type: ignore[arg-type]
    worker.enrol()
    waiting = subprocess.Popen(
        [sys.executable, "-c", "import sys, httpx; print(httpx.post(sys.argv[1], content=sys.argv[2], headers={'Authorization': sys.argv[3], 'Content-Type': 'application/json'}, timeout=60).status_code)",
         console.url + paths.LEASE,
         json.dumps({"protocol": 1, "site": "local", "worker": "worker-1", "release": worker.release, "gpus": [], "wait_seconds": 60}),
         worker.http.headers["Authorization"]],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(1)
    assert console.stop(number) == 0
    out, _ = waiting.communicate(timeout=10)
    assert out.strip() == "204"
    worker.http.close()
    # Closed, not merely ended: SQLite has no journal left over.
    assert not (console.directory / "console.sqlite-wal").exists()


def test_what_it_prints_names_files_and_never_a_credential(serve: Serve, tmp_path: Path) -> None:
    console = serve()
    credential = (console.directory / "enrolment" / "local").read_text().strip()
    token = (console.directory / "token").read_text().strip()
    console.stop()
    assert console.process.stdout is not None
    printed = console.process.stdout.read()
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
        (["--host", "0.0.0.0", "--no-auth"], {}, "loopback"),
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
    tmp_path: Path, options: list[str], environment: dict[str, str], word: str
) -> None:
    code, lines = refused(tmp_path, *options, **environment)
    assert code != 0
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    assert word in lines[0]


def test_a_second_console_on_the_same_directory_is_refused(serve: Serve, tmp_path: Path) -> None:
    serve()
    code, lines = refused(tmp_path)
    assert (code, len(lines)) == (74, 1)
    assert "another console" in lines[0]


def gone(call: Callable[[], Any]) -> bool:
    try:
        call()
    except httpx.TransportError:
        return True
    return False


def killed(console: ConsoleProcess) -> None:
    assert console.process.wait(20) == -signal.SIGKILL


def test_kill_9_after_a_submission_loses_nothing_and_doubles_nothing(serve: Serve) -> None:
    dataset, _ = new_dataset((console := serve(failpoint=Failpoint.SUBMIT_COMMITTED)).admin)
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
    assert gone(lambda: new_dataset(console.admin, "set"))
    killed(console)
    again = serve()
    (row,) = again.admin.get(f"{API}/datasets").json()["rows"]
    assert (row["version"] is not None) == (point is Failpoint.DATASET_COMMITTED)
    files = [("files", ("a.txt", b"x"))]
    if row["version"] is not None:
        view = again.admin.get(f"{API}/datasets/{row['id']}/versions/{row['version']}").json()
        assert view["rows"] == 2
        for file in view["files"]:
            got = again.admin.get(f"{API}/datasets/{row['id']}/versions/{row['version']}/files/{file['name']}")
            assert len(got.content) == file["size"]
    assert again.admin.post(f"{API}/datasets/{row['id']}/uploads", files=files).status_code == 422


@pytest.mark.parametrize("point", [Failpoint.LEASE_COMMITTED, Failpoint.LEASE_BOUND])
def test_kill_9_after_a_lease_gives_the_job_to_another(serve: Serve, point: Failpoint) -> None:
    console = serve("--lease-seconds", "1", "--grace-seconds", "0", failpoint=point)
    dataset, _ = new_dataset(console.admin)
    job = new_job(console.admin, dataset)["id"]
    release = json.loads((console.directory.parent / "ready.json").read_text())["release"]
    assert gone(lambda: HttpWorker(console, release=release).leased())  # type: ignore[arg-type]
    killed(console)
    again = serve("--lease-seconds", "1", "--grace-seconds", "0")
    second = HttpWorker(again, name="worker-2", release=release).leased()  # type: ignore[arg-type]
    assert (second.job, second.fence) == (job, 2)
    assert [row["state"] for row in again.admin.get(f"{API}/jobs/{job}/attempts").json()] == ["lost", "leased"]
    second.http.close()


@pytest.mark.parametrize(
    ("point", "published"),
    [(Failpoint.HEARTBEAT_COMMITTED, None), (Failpoint.CHECKPOINT_VERIFIED, None), (Failpoint.CHECKPOINT_COMMITTED, 4)],
)
def test_kill_9_round_a_checkpoint(serve: Serve, point: Failpoint, published: int | None) -> None:
    console = serve()
    dataset, _ = new_dataset(console.admin)
    job = new_job(console.admin, dataset)["id"]
    release = json.loads((console.directory.parent / "ready.json").read_text())["release"]
    worker = HttpWorker(console, release=release).leased()  # type: ignore[arg-type]
    port = console.url.rpartition(":")[2]
    console.stop()
    crashing = serve("--port", port, failpoint=point)
    worker.console = crashing  # type: ignore[assignment]
    assert gone(lambda: worker.heartbeat() and worker.publish(4))
    killed(crashing)
    again = serve("--port", port)
    assert again.admin.get(f"{API}/jobs/{job}").json()["published_step"] == published
    # The worker knows nothing of it and says the same again.
    assert worker.heartbeat(1).status_code == 200
    assert worker.publish(4).status_code == 204
    assert [row["step"] for row in again.admin.get(f"{API}/jobs/{job}/checkpoints").json()] == [4]
    assert worker.succeed().status_code == 204
    worker.http.close()


@pytest.mark.parametrize(("point", "state"), [(Failpoint.OUTCOME_VERIFIED, "running"), (Failpoint.OUTCOME_COMMITTED, "succeeded")])
def test_kill_9_round_an_outcome(serve: Serve, point: Failpoint, state: str) -> None:
    console = serve(failpoint=point)
    dataset, _ = new_dataset(console.admin)
    job = new_job(console.admin, dataset)["id"]
    release = json.loads((console.directory.parent / "ready.json").read_text())["release"]
    worker = HttpWorker(console, release=release).leased()  # type: ignore[arg-type]
    worker.heartbeat()
    assert gone(worker.succeed)
    killed(console)
    again = serve("--port", console.url.rpartition(":")[2])
    assert again.admin.get(f"{API}/jobs/{job}").json()["state"] == state
    assert worker.succeed().status_code in (204, 409)
    ended = again.admin.get(f"{API}/jobs/{job}").json()
    assert (ended["state"], len(ended["outputs"])) == ("succeeded", 1)
    worker.http.close()


def test_kill_9_after_a_cancel(serve: Serve) -> None:
    console = serve(failpoint=Failpoint.CANCEL_COMMITTED)
    dataset, _ = new_dataset(console.admin)
    job = new_job(console.admin, dataset)["id"]
    assert gone(lambda: console.admin.post(f"{API}/jobs/{job}/cancel"))
    killed(console)
    assert serve().admin.post(f"{API}/jobs/{job}/cancel").json()["state"] == "cancelled"
