"""Two consoles on one PostgreSQL, with the stores that both reach: what one takes in the other gives out."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest

from lorafleet.contracts import paths
from tests.unit.console.api.running_console import API, HttpWorker, RunningConsole, StartConsole, new_job, new_text_set

MakeWorker = Callable[..., HttpWorker]


@pytest.fixture
def pair(start_console: StartConsole, postgres_url: str) -> tuple[RunningConsole, RunningConsole]:
    first = start_console(database_url=postgres_url, replicas=2)
    return first, start_console(database_url=postgres_url, replicas=2, beside=first)


def test_a_worker_at_one_gets_what_is_submitted_at_the_other(
    pair: tuple[RunningConsole, RunningConsole], worker: MakeWorker
) -> None:
    first, second = pair
    dataset = new_text_set(first.admin)
    one = worker(console=second).enrol()
    answers: list[httpx.Response] = []
    waiting = threading.Thread(target=lambda: answers.append(one.ask_lease(20)))
    waiting.start()
    job = new_job(first.admin, dataset)["id"]
    waiting.join(20)
    assert [answer.status_code for answer in answers] == [200]
    assert one.job == job
    # It goes on at whichever console answers.
    for sequence, console in enumerate((first, second, first)):
        one.console = console
        assert one.heartbeat(sequence).status_code == 200
        sent = {"step": sequence + 1, "total_steps": 10, "sent_at": datetime.now(UTC).isoformat()}
        assert one.say(paths.PROGRESS, **sent).status_code == 204
        assert one.publish(sequence + 1).status_code == 204
    stream = {"Accept": "text/event-stream"}
    with second.admin.stream("GET", f"{API}/jobs/{job}/events", headers=stream, timeout=20) as response:
        lines = response.iter_lines()
        while "event: checkpoint" not in next(lines):
            pass
        one.console = first
        assert one.succeed().status_code == 204
        rest = list(lines)
    assert "event: end" in rest
    assert second.admin.get(f"{API}/jobs/{job}").json()["state"] == "succeeded"
    output = second.admin.get(f"{API}/jobs/{job}/outputs/neon.safetensors")
    assert output.content == b"finished"


def test_no_job_goes_to_two_workers(pair: tuple[RunningConsole, RunningConsole], worker: MakeWorker) -> None:
    first, _ = pair
    dataset = new_text_set(first.admin)
    jobs = [new_job(first.admin, dataset)["id"] for _ in range(8)]
    workers = [worker(console=console, name=f"w-{number}-{side}") for number in range(4) for side, console in enumerate(pair)]
    threads = [threading.Thread(target=lambda one=each: one.enrol().ask_lease(15)) for each in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.job for each in workers) == sorted(jobs)
    assert {each.fence for each in workers} == {1}


def test_one_key_at_two_consoles_makes_one_job(pair: tuple[RunningConsole, RunningConsole]) -> None:
    first, second = pair
    dataset = new_text_set(first.admin)
    body = {"name": "neon", "dataset": dataset, "training": {"base_model": "x"}}
    ids: set[str] = set()

    def submit(url: str) -> None:
        with httpx.Client(base_url=url, headers=first.admin.headers, verify=False) as client:
            ids.add(client.post(f"{API}/jobs", json=body, headers={"Idempotency-Key": "k"}).json()["id"])

    threads = [threading.Thread(target=submit, args=(console.url,)) for console in pair for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 1
    assert len(second.admin.get(f"{API}/jobs").json()["rows"]) == 1


def test_a_draft_that_was_begun_at_one_goes_on_at_the_other(pair: tuple[RunningConsole, RunningConsole]) -> None:
    first, second = pair
    dataset = first.admin.post(f"{API}/datasets", json={"name": "two consoles", "kind": "texts"}).json()["id"]
    drafts = f"{API}/datasets/{dataset}/drafts"
    draft = first.admin.post(drafts).json()["draft"]
    for number, console in enumerate((second, first, second)):
        data = f'{{"text": "neon {number}"}}\n'.encode()
        (taken,) = console.admin.post(f"{drafts}/{draft}/uploads", files=[("files", (f"{number}.jsonl", data))]).json()
        assert taken["refused"] == ""
    version = first.admin.post(f"{drafts}/{draft}/finish")
    assert (version.status_code, version.json()["rows"]) == (201, 3)
    assert second.admin.post(f"{drafts}/{draft}/finish").status_code == 404
