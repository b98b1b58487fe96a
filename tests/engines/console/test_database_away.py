"""The database goes away for a quarter of a minute, much longer than leases last: nothing is failed, and everything goes on."""

import random
import signal
import time
from collections.abc import Sequence

import pytest
from postgres_server import PostgresServer

from tests.engines.console.fleet import Workers, attempts, job
from tests.engines.tcp_proxy import TcpProxy
from tests.unit.console.api.console_process import ConsoleProcess, Serve
from tests.unit.console.api.running_console import API, new_job, new_text_set, problem, soon

AWAY_SECONDS = 12.0
LATER_SECONDS = 1.5
LEASES = ("--lease-seconds", "4", "--grace-seconds", "1")


def both_run(console: ConsoleProcess, names: list[str]) -> bool:
    return all(job(console, name)["published_step"] for name in names)


def nobody_failed(console: ConsoleProcess, names: list[str]) -> None:
    for name in names:
        soon(lambda name=name: job(console, name)["state"] == "succeeded", 60)  # type: ignore[misc]
        (only,) = attempts(console, name)
        assert (only["fence"], only["state"]) == (1, "succeeded")


def cut(proxies: Sequence[TcpProxy]) -> None:
    for proxy in proxies:
        proxy.cut()


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_two_workers_and_two_consoles(
    serve: Serve, server: PostgresServer, workers: Workers, chance: random.Random, how: str
) -> None:
    consoles = [serve("--replicas", "2", *LEASES) for _ in range(2)]
    dataset = new_text_set(consoles[0].admin)
    names = [new_job(consoles[0].admin, dataset, training={"base_model": "x", "max_steps": 300})["id"] for _ in range(2)]
    proxies = [TcpProxy(int(console.port)) for console in consoles]
    for number, (console, proxy) in enumerate(zip(consoles, proxies, strict=True)):
        workers.start(console, f"w-{number}", url=f"http://127.0.0.1:{proxy.port}")
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
        cut(proxies)
        server.start()
    else:
        server.freeze()
        while time.monotonic() < until:
            for console in consoles:
                assert console.admin.get("/healthz").status_code == 200
            time.sleep(0.5)
        cut(proxies)
        server.thaw()
    # Workers come back later than the database, as those do that wait longer after each try.
    time.sleep(LATER_SECONDS)
    for proxy in proxies:
        proxy.accept()
    nobody_failed(consoles[1], names)
    cut(proxies)
