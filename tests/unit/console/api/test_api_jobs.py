"""Jobs as people submit, list and follow them."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from lorafleet.contracts import paths
from tests.unit.console.api.running_console import API, HttpWorker, RunningConsole, StartConsole, new_dataset, new_job, problem

MakeWorker = Callable[..., HttpWorker]


def body(dataset: str, **more: Any) -> dict[str, Any]:
    return {"name": "neon", "dataset": dataset, "training": {"base_model": "tiny", "max_steps": 10}, **more}


def test_the_same_key_makes_one_job(console: RunningConsole, dataset: str) -> None:
    headers = {"Idempotency-Key": "one"}
    first = console.admin.post(f"{API}/jobs", json=body(dataset), headers=headers)
    again = console.admin.post(f"{API}/jobs", json=body(dataset), headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]
    assert console.admin.post(f"{API}/jobs", json=body(dataset)).json()["id"] != first.json()["id"]
    problem(console.admin.post(f"{API}/jobs", json=body(dataset, priority=5), headers=headers), 422)
    # Another person's key of the same text is another key.
    other = console.client().post(f"{API}/jobs", json=body(dataset), headers=headers)
    assert other.status_code == 201


def test_many_at_once_under_one_key_make_one_job(console: RunningConsole, dataset: str) -> None:
    ids: list[str] = []
    client = console.client()

    def submit() -> None:
        with httpx.Client(base_url=console.url, headers=client.headers) as own:
            ids.append(own.post(f"{API}/jobs", json=body(dataset), headers={"Idempotency-Key": "race"}).json()["id"])

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 8
    assert len(set(ids)) == 1


def test_pages_give_every_job_once_in_order(start_console: StartConsole) -> None:
    console = start_console()
    dataset, _ = new_dataset(console.admin)
    made = [new_job(console.admin, dataset)["id"] for _ in range(5)]
    seen, after = [], None
    while True:
        page = console.admin.get(f"{API}/jobs", params={"limit": 2, **({"after": after} if after else {})}).json()
        seen += [row["id"] for row in page["rows"]]
        after = page["after"]
        if after is None:
            break
    assert seen == list(reversed(made))
    console.admin.post(f"{API}/jobs/{made[0]}/cancel")
    cancelled = console.admin.get(f"{API}/jobs", params={"state": "cancelled"}).json()["rows"]
    assert [row["id"] for row in cancelled] == [made[0]]
    assert console.admin.get(f"{API}/jobs", params={"dataset": "none-such"}).json()["rows"] == []
    problem(console.admin.get(f"{API}/jobs", params={"after": "nonsense"}), 422)
    problem(console.admin.get(f"{API}/jobs", params={"state": "dreaming"}), 422)
    positions = [console.admin.get(f"{API}/jobs/{job}").json()["position"] for job in made[1:]]
    assert positions == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("training", "where"),
    [
        ({"base_model": "x", "output_dir": "/etc"}, "output_dir"),
        ({"base_model": "x", "device": "cuda:1"}, "device"),
        ({"base_model": "x", "lora_rang": 4}, "lora_rang"),
        ({"base_model": "x", "lora_rank": -1}, "lora_rank"),
        ({}, "base_model"),
        ({"base_model": "x", "optimizer_args": {"api_key": "abc123"}}, "optimizer_args.api_key"),
    ],
)
def test_a_wrong_configuration_is_refused_before_it_waits(
    console: RunningConsole, dataset: str, training: dict[str, Any], where: str
) -> None:
    for path in ("jobs", "estimate"):
        answer = console.admin.post(f"{API}/{path}", json=body(dataset, training=training))
        assert where in problem(answer, 422)["detail"]
        assert "abc123" not in answer.text


def test_several_problems_are_all_named(console: RunningConsole, dataset: str) -> None:
    training = {"base_model": "x", "lora_rank": 0, "epochs": -1}
    found = problem(console.admin.post(f"{API}/jobs", json=body(dataset, training=training)), 422)
    assert len(found["problems"]) == 2
    assert "lora_rank" in found["detail"]
    assert "epochs" in found["detail"]


def test_what_is_not_there_is_404(console: RunningConsole, dataset: str) -> None:
    problem(console.admin.post(f"{API}/jobs", json=body("no-such-set")), 404)
    problem(console.admin.post(f"{API}/jobs", json=body(dataset, version="v-none")), 404)
    problem(console.admin.post(f"{API}/jobs", json=body(dataset, continue_from="no-such-job")), 404)
    problem(console.admin.get(f"{API}/jobs/no-such-job"), 404)
    problem(console.admin.get(f"{API}/nowhere"), 404)
    problem(console.admin.delete(f"{API}/jobs"), 405)


def test_an_empty_data_set_is_not_trained_on(console: RunningConsole) -> None:
    made = console.admin.post(f"{API}/datasets", json={"name": "empty"}).json()["id"]
    problem(console.admin.post(f"{API}/jobs", json=body(made)), 422)


def test_retry_and_continue_make_new_jobs(start_console: StartConsole, worker: MakeWorker) -> None:
    console = start_console()
    dataset, _ = new_dataset(console.admin)
    job = new_job(console.admin, dataset)
    problem(console.admin.post(f"{API}/jobs/{job['id']}/retry"), 409)
    problem(console.admin.post(f"{API}/jobs/{job['id']}/continue", json={}), 404)
    one = worker(console=console).leased()
    one.heartbeat()
    one.publish(4)
    one.publish(8)
    one.succeed()
    again = console.admin.post(f"{API}/jobs/{job['id']}/retry").json()
    assert again["id"] != job["id"]
    assert (again["dataset"], again["training"], again["continue_from"]) == (dataset, job["training"], None)
    more = console.admin.post(f"{API}/jobs/{job['id']}/continue", json={"step": 4, "training": {"max_steps": 20}}).json()
    assert (more["continue_from"], more["continue_step"], more["training"]["max_steps"]) == (job["id"], 4, 20)
    newest = console.admin.post(f"{API}/jobs/{job['id']}/continue", json={}).json()
    assert newest["continue_step"] == 8
    problem(console.admin.post(f"{API}/jobs/{job['id']}/continue", json={"step": 5}), 404)
    assert console.admin.post(f"{API}/jobs/{again['id']}/cancel").json()["state"] == "cancelled"
    two = worker(console=console, name="two").leased()
    assert (two.job, two.lease["job"]["resume"]["step"]) == (more["id"], 4)
    assert (
        two.say(paths.GRANTS, method="GET", objects=[{"key": two.lease["job"]["resume"]["objects"][0]["key"]}]).status_code == 200
    )


def read_stream(response: httpx.Response) -> Iterator[tuple[str, int, dict[str, Any]]]:
    kind, number = "", 0
    for line in response.iter_lines():
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "id":
            number = int(value)
        elif name == "data":
            yield kind, number, json.loads(value)


def test_the_stream_of_events_goes_on_where_it_broke(console: RunningConsole, dataset: str, worker: MakeWorker) -> None:
    job = new_job(console.admin, dataset)["id"]
    one = worker().leased()
    while one.job != job:
        one = worker().leased()
    url, stream = f"{API}/jobs/{job}/events", {"Accept": "text/event-stream"}
    with console.admin.stream("GET", url, headers=stream, timeout=20) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = read_stream(response)
        first = [next(events), next(events)]
        assert [kind for kind, _, _ in first] == ["submitted", "leased"]
        one.heartbeat()
        last = next(events)
        assert last[0] == "started"
    now = datetime.now(UTC).isoformat()
    one.say(paths.PROGRESS, step=7, total_steps=10, metrics={"loss": 0.25}, sent_at=now)
    one.succeed()
    with console.admin.stream("GET", url, headers={**stream, "Last-Event-ID": str(last[1])}, timeout=20) as response:
        rest = list(read_stream(response))
    kinds = [kind for kind, _, _ in rest]
    assert kinds[0] == "progress"
    assert kinds[-1] == "end"
    assert rest[0][2]["values"]["metrics"] == {"loss": 0.25}
    numbers = [number for _, number, _ in rest[:-1]]
    assert numbers == sorted(set(numbers))
    assert numbers[0] > last[1]
    stored = console.admin.get(url).json()
    assert [row["number"] for row in stored] == [number for _, number, _ in first] + [last[1]] + numbers


def test_an_estimate_knows_the_steps(console: RunningConsole, dataset: str) -> None:
    answer = console.admin.post(
        f"{API}/estimate",
        json=body(dataset, training={"base_model": "x", "family": "sd15", "epochs": 3, "batch_size": 2, "repeats": 5}),
    ).json()
    assert (answer["rows"], answer["steps"]) == (2, 15)
    assert answer["offers"]
    assert answer["offers"] == sorted(answer["offers"], key=lambda offer: (not offer["fits"], offer["on_demand"]))


def test_every_training_key_is_explained(console: RunningConsole) -> None:
    keys = {row["key"]: row for row in console.admin.get(f"{API}/training-keys").json()}
    assert keys["lora_rank"]["default"] == 8
    assert keys["base_model"]["required"]
    assert not keys["output_dir"]["settable"]
    assert not keys["output_dir"]["required"]
    assert all(row["description"] for row in keys.values())
