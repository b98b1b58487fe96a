"""Workers whose clocks are wrong, and the same submission many times while a console is killed."""

import random
import signal
import threading
import time
from datetime import UTC, datetime, timedelta

import httpx

from tests.engines.console.fleet import Workers, attempts, job
from tests.unit.console.api.console_process import ConsoleProcess, Serve
from tests.unit.console.api.running_console import API, new_job, new_text_set, soon

COPIES = 24


def test_a_clock_an_hour_off_changes_nothing(serve: Serve, workers: Workers) -> None:
    console = serve("--lease-seconds", "3", "--grace-seconds", "1")
    dataset = new_text_set(console.admin)
    training = {"base_model": "x", "max_steps": 100}
    names = [new_job(console.admin, dataset, training=training)["id"] for _ in range(2)]
    for name, hours in (("fast", 1), ("slow", -1)):
        workers.start(console, name, skew=timedelta(hours=hours))
    for name in names:
        soon(lambda name=name: job(console, name)["state"] == "succeeded", 40)  # type: ignore[misc]
        (only,) = attempts(console, name)
        assert (only["fence"], only["state"]) == (1, "succeeded")
        for at in (only["leased_at"], only["ended_at"]):
            assert abs(datetime.now(UTC) - datetime.fromisoformat(at)) < timedelta(minutes=5)
    assert {attempts(console, name)[0]["worker"] for name in names} == {"fast", "slow"}


def test_a_storm_of_one_submission_makes_one_job(serve: Serve, chance: random.Random) -> None:
    consoles = [serve("--replicas", "2") for _ in range(2)]
    dataset = new_text_set(consoles[0].admin)
    body = {"name": "neon", "dataset": dataset, "training": {"base_model": "x"}}
    headers = {**consoles[0].admin.headers, "Idempotency-Key": "one"}
    ids: list[str] = []

    def submit(first: ConsoleProcess, second: ConsoleProcess) -> None:
        # The way of a client: again, and at the other one, until there is an answer.
        for console in (first, second, second, second):
            try:
                with httpx.Client(base_url=console.url, headers=headers, verify=False, timeout=20) as client:
                    answer = client.post(f"{API}/jobs", json=body)
            except httpx.TransportError:
                continue
            if answer.status_code == 201:
                ids.append(answer.json()["id"])
                return

    killed, left = consoles
    pairs = [(killed, left) if number % 2 else (left, left) for number in range(COPIES)]
    chance.shuffle(pairs)
    threads = [threading.Thread(target=submit, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    time.sleep(chance.uniform(0, 0.3))
    killed.stop(signal.SIGKILL)
    for thread in threads:
        thread.join(60)
    assert len(ids) == COPIES
    assert set(ids) == {row["id"] for row in left.admin.get(f"{API}/jobs").json()["rows"]}
    assert len(set(ids)) == 1
