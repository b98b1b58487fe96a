"""A worker cut off from the console while another has its job: two write at once, and only one publishes."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from lorafleet.contracts import layout, paths
from lorafleet.contracts.jobs import Head
from tests.engines.console.fleet import Workers, attempts, job
from tests.engines.tcp_proxy import TcpProxy
from tests.unit.console.api.console_process import ConsoleProcess, Serve
from tests.unit.console.api.running_console import API, HttpWorker, new_job, new_text_set, problem, soon

LEASES = ("--lease-seconds", "1", "--grace-seconds", "0.5")
CHAOS_SECONDS = 12.0


@dataclass
class Behind:
    """The console as a worker behind a proxy sees it."""

    url: str
    directory: Path


@pytest.fixture
def proxied(serve: Serve) -> Iterator[Callable[[ConsoleProcess], TcpProxy]]:
    proxies: list[TcpProxy] = []

    def make(console: ConsoleProcess) -> TcpProxy:
        proxies.append(TcpProxy(int(console.port)))
        return proxies[-1]

    yield make
    for proxy in proxies:
        proxy.cut()


def published(console: ConsoleProcess, name: str) -> list[tuple[int, int]]:
    rows = console.admin.get(f"{API}/jobs/{name}/checkpoints").json()
    return [(row["fence"], row["step"]) for row in sorted(rows, key=lambda row: row["published_at"])]


def test_two_live_writers(serve: Serve, proxied: Callable[[ConsoleProcess], TcpProxy]) -> None:
    console = serve(*LEASES)
    proxy = proxied(console)
    name = new_job(console.admin, new_text_set(console.admin))["id"]
    cut_off = HttpWorker(Behind(f"http://127.0.0.1:{proxy.port}", console.directory), name="cut-off", release=console.release)
    cut_off.leased()
    cut_off.heartbeat()
    assert cut_off.publish(4, b"four").status_code == 204
    # It holds grants for its next step, and the stores stay within its reach.
    keys = {step: layout.step_object(name, cut_off.fence, step, "lora.safetensors") for step in (6, 20)}
    data = b"of the one that is cut off"
    item = {"size": len(data), "sha256": sha256(data).hexdigest()}
    objects = [{"key": key, **item} for key in keys.values()]
    grants = cut_off.say(paths.GRANTS, method="PUT", objects=objects).json()["grants"]
    proxy.cut()
    with pytest.raises(httpx.TransportError):
        cut_off.heartbeat(1)

    second = console.worker("second").leased()
    assert (second.job, second.fence) == (name, 2)
    assert second.lease["job"]["resume"]["step"] == 4
    end = threading.Event()
    stored: list[int] = []

    def write_on() -> None:
        with httpx.Client(verify=False) as http:
            while not end.is_set():
                stored.extend(http.put(each["url"], content=data, headers=each["headers"]).status_code for each in grants)

    writer = threading.Thread(target=write_on)
    writer.start()
    for sequence, step in enumerate((6, 8)):
        assert second.heartbeat(sequence, step).status_code == 200
        assert second.publish(step, f"second {step}".encode()).status_code == 204
    end.set()
    writer.join(20)
    assert stored
    assert set(stored) <= {200, 201}

    proxy.accept()
    problem(cut_off.heartbeat(1), 409)
    for step in keys:
        said = {"step": step, "release": console.release, "format_version": 1, "stores": ["local", "backup"]}
        problem(cut_off.say(paths.CHECKPOINT, objects=[{"key": keys[step], **item}], **said), 409)
    problem(cut_off.say(paths.GRANTS, method="PUT", objects=objects), 409)
    problem(cut_off.say(paths.LOG, first=0, lines=["x"]), 409)
    problem(cut_off.say(paths.OUTCOME, outcome="release", exit_code=1, step=20), 409)
    assert published(console, name) == [(1, 4), (2, 6), (2, 8)]
    head = Head.model_validate_json((console.directory / "stores" / "local" / layout.head(name)).read_text())
    assert (head.fence, head.step) == (2, 8)

    assert second.succeed(b"second's").status_code == 204
    assert job(console, name)["state"] == "succeeded"
    assert console.admin.get(f"{API}/jobs/{name}/outputs/neon.safetensors").content == b"second's"


def test_partitions_at_random(
    serve: Serve, workers: Workers, proxied: Callable[[ConsoleProcess], TcpProxy], chance: random.Random
) -> None:
    console = serve(*LEASES)
    dataset = new_text_set(console.admin)
    names = [new_job(console.admin, dataset, training={"base_model": "x", "max_steps": 120})["id"] for _ in range(4)]
    proxies = [proxied(console) for _ in range(3)]
    for number, proxy in enumerate(proxies):
        workers.start(console, f"w-{number}", url=f"http://127.0.0.1:{proxy.port}")
    until = time.monotonic() + CHAOS_SECONDS
    while time.monotonic() < until:
        victim = chance.choice(proxies)
        time.sleep(chance.uniform(0.2, 1.5))
        victim.cut()
        time.sleep(chance.uniform(0.2, 3.0))
        victim.accept()
    lost = 0
    for name in names:
        soon(lambda name=name: job(console, name)["state"] == "succeeded", 60)  # type: ignore[misc]
        done: list[dict[str, Any]] = attempts(console, name)
        assert [each["state"] for each in done].count("succeeded") == 1
        assert done[-1]["state"] == "succeeded"
        fences = [fence for fence, _ in published(console, name)]
        assert fences == sorted(fences), "an attempt published after a newer one"
        output = console.admin.get(f"{API}/jobs/{name}/outputs/lora.safetensors")
        assert output.content == f"{name} {done[-1]['fence']} output".encode()
        lost += len(done) - 1
    assert lost, "no partition lasted longer than a lease: the test showed nothing"
