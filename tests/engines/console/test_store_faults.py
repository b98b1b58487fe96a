"""A store that is slow, gone, breaks off, falls silent, flips bits or is full while a worker publishes.

The site's store is a folder server behind a proxy, the other copy lies with the console: what the first one does not hold whole
is not published, and as soon as it does, it is.
"""

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from lorafleet.contracts import layout, paths
from lorafleet.demo.services import start
from tests.engines.console.fleet import Workers, attempts, job
from tests.engines.tcp_proxy import Fault, TcpProxy
from tests.unit.console.api.console_process import ConsoleProcess, Serve
from tests.unit.console.api.running_console import API, HttpWorker, new_job, new_text_set, problem, soon

DATA = os.urandom(300_000)
ROOM = "1m"


@dataclass(frozen=True)
class Bed:
    console: ConsoleProcess
    proxy: TcpProxy
    folder: Path

    def worker(self) -> HttpWorker:
        new_job(self.console.admin, new_text_set(self.console.admin))
        worker = self.console.worker().leased()
        worker.site = "local"
        # A worker that waits for ever for a store that hangs would test nothing.
        worker.http.timeout = httpx.Timeout(4)
        assert worker.heartbeat().status_code == 200
        return worker

    def nothing_is_published(self, worker: HttpWorker) -> None:
        assert job(self.console, worker.job)["published_step"] is None


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """The store's folder, where the test asks for it on a file system with little room."""
    path = tmp_path / "store"
    path.mkdir()
    if not getattr(request, "param", False):
        yield path
        return
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(path)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("a file system can be mounted by root only")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture
def bed(serve: Serve, folder: Path, tmp_path: Path) -> Iterator[Bed]:
    secret = tmp_path / "store.secret"
    store = start("store", tmp_path / "logs", ["store", str(folder), "--port", "0", "--secret-file", str(secret)])
    proxy = None
    try:
        address = store.wait_for(lambda: next(iter(store.log.read_text().splitlines()), None), 60)
        proxy = TcpProxy(int(address.rpartition(":")[2]))
        site = ["--site", f"local=http://127.0.0.1:{proxy.port}", "--store-secret", f"local={secret}"]
        yield Bed(serve("--lease-seconds", "60", *site), proxy, folder)
    finally:
        if proxy is not None:
            proxy.cut()
        store.kill()


def offer(worker: HttpWorker, step: int, data: bytes = DATA) -> tuple[dict[str, Any], dict[str, int]]:
    """Write a step's object to the stores that grants are for: the object, and each store's answer, 0 for none."""
    key = layout.step_object(worker.job, worker.fence, step, "lora.safetensors")
    item = {"key": key, "size": len(data), "sha256": sha256(data).hexdigest()}
    answers = {}
    for grant in worker.say(paths.GRANTS, method="PUT", objects=[item]).json()["grants"]:
        try:
            stored = worker.http.put(grant["url"], content=data, headers={**grant["headers"], "Authorization": ""})
            answers[grant["store"]] = stored.status_code
        except httpx.TransportError:
            answers[grant["store"]] = 0
    return item, answers


def announce(worker: HttpWorker, step: int, item: dict[str, Any]) -> httpx.Response:
    said = {"step": step, "release": worker.release, "format_version": 1, "objects": [item], "stores": ["local", "backup"]}
    return worker.http.post(
        worker.console.url + paths.CHECKPOINT, json={"protocol": 1, "job": worker.job, "fence": worker.fence, **said}, timeout=30
    )


def published_after_all(bed: Bed, worker: HttpWorker, step: int) -> None:
    """The worker writes and says it again until it is published, as the real one does."""

    def again() -> bool:
        item, _ = offer(worker, step)
        return announce(worker, step, item).status_code == 204

    soon(again, 30)
    (row,) = bed.console.admin.get(f"{API}/jobs/{worker.job}/checkpoints").json()
    assert (row["step"], sorted(row["stores"])) == (step, ["backup", "local"])


def test_gone(bed: Bed) -> None:
    worker = bed.worker()
    item, before = offer(worker, 5)
    assert set(before) == {"local", "backup"}
    bed.proxy.cut()
    problem(announce(worker, 5, item), 503)
    bed.nothing_is_published(worker)
    item, answers = offer(worker, 5)
    assert set(answers) == {"backup"}
    problem(announce(worker, 5, item), 503)
    bed.proxy.accept()
    published_after_all(bed, worker, 5)
    assert worker.succeed().status_code == 204


@pytest.mark.parametrize("kind", ["drop", "stall", "flip"])
def test_an_upload_that_does_not_arrive_whole(bed: Bed, kind: Any) -> None:
    worker = bed.worker()
    bed.proxy.faults.append(Fault(kind, "up", 150_000))
    item, answers = offer(worker, 5)
    assert bed.proxy.met
    assert answers["local"] not in (200, 201)
    assert answers["backup"] in (200, 201)
    assert announce(worker, 5, item).status_code in (422, 503)
    bed.nothing_is_published(worker)
    published_after_all(bed, worker, 5)


def test_slow(bed: Bed) -> None:
    worker = bed.worker()
    worker.http.timeout = httpx.Timeout(30)
    bed.proxy.bytes_a_second = 150_000
    since = time.monotonic()
    item, answers = offer(worker, 5)
    assert time.monotonic() - since > 1
    assert set(answers.values()) <= {200, 201}
    assert worker.heartbeat(1).status_code == 200
    assert announce(worker, 5, item).status_code == 204


@pytest.mark.parametrize("folder", [True], indirect=True)
def test_full(bed: Bed) -> None:
    worker = bed.worker()
    item, answers = offer(worker, 5)
    assert announce(worker, 5, item).status_code == 204
    more = os.urandom(1_500_000)
    item, answers = offer(worker, 6, more)
    assert answers == {"local": 507, "backup": 201}
    problem(announce(worker, 6, item), 422)
    assert job(bed.console, worker.job)["published_step"] == 5
    # Nothing of what did not fit is left over, and what was published is whole.
    assert sum(path.stat().st_size for path in bed.folder.rglob("*") if path.is_file()) < 1_000_000
    subprocess.run(["mount", "-o", "remount,size=8m", str(bed.folder)], check=True)
    item, answers = offer(worker, 6, more)
    assert set(answers.values()) <= {200, 201}
    assert announce(worker, 6, item).status_code == 204


def test_a_whole_job_goes_on_through_it(bed: Bed, workers: Workers) -> None:
    training = {"base_model": "x", "max_steps": 160}
    name = new_job(bed.console.admin, new_text_set(bed.console.admin), training=training)["id"]
    workers.start(bed.console, "w")
    soon(lambda: bool(job(bed.console, name)["published_step"]), 20)
    bed.proxy.cut()
    time.sleep(3)
    bed.proxy.accept()
    soon(lambda: job(bed.console, name)["state"] == "succeeded", 40)
    assert [(each["fence"], each["state"]) for each in attempts(bed.console, name)] == [(1, "succeeded")]
