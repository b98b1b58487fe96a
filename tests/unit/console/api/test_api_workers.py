"""What the console refuses of workers, and what it gives them."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import httpx
import pytest

from lorafleet.contracts import layout, paths
from lorafleet.contracts.jobs import MESSAGE_BYTES
from tests.unit.console.api.running_console import API, HttpWorker, RunningConsole, StartConsole, new_dataset, new_job, problem

MakeWorker = Callable[..., HttpWorker]


@pytest.fixture
def leased(console: RunningConsole, dataset: str, worker: MakeWorker) -> HttpWorker:
    new_job(console.admin, dataset)
    return worker().leased()


def test_no_job_in_time_is_204(start_console: StartConsole, worker: MakeWorker) -> None:
    idle = start_console()
    answer = worker(console=idle).enrol().ask_lease(wait=1)
    assert (answer.status_code, answer.content) == (204, b"")


def test_a_waiting_worker_gets_a_job_as_it_is_submitted(start_console: StartConsole, worker: MakeWorker) -> None:
    idle = start_console()
    dataset, _ = new_dataset(idle.admin)
    one = worker(console=idle).enrol()
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(one.ask_lease(wait=20)))
    thread.start()
    job = new_job(idle.admin, dataset)
    thread.join(20)
    assert [answer.status_code for answer in answers] == [200]
    assert one.job == job["id"]


def test_a_wrong_credential_is_401(console: RunningConsole) -> None:
    body = {"protocol": 1, "site": "local", "worker": "w", "credential": "lf_wrong-credential"}
    answer = console.anonymous().post(paths.ENROL, json=body)
    problem(answer, 401)
    assert "wrong-credential" not in answer.text


def test_no_token_or_a_person_s_token_is_401(console: RunningConsole, leased: HttpWorker) -> None:
    message = {"protocol": 1, "job": leased.job, "fence": leased.fence}
    problem(console.anonymous().post(paths.DATASET, json=message), 401)
    problem(console.client().post(paths.DATASET, json=message), 401)
    assert leased.say(paths.DATASET).status_code == 200


def test_one_token_leads_to_one_lease(console: RunningConsole, leased: HttpWorker) -> None:
    problem(leased.ask_lease(wait=0), 401)


def test_a_token_of_another_attempt_is_403(console: RunningConsole, leased: HttpWorker) -> None:
    for other in (replace(leased, job="another-job"), replace(leased, fence=leased.fence + 1)):
        problem(other.heartbeat(), 403)


def test_a_lease_that_was_taken_back_is_409(console: RunningConsole, leased: HttpWorker) -> None:
    said = leased.say(paths.OUTCOME, outcome="preempted", exit_code=75, step=0)
    assert said.status_code == 204, said.text
    for path, message in (
        (paths.HEARTBEAT, {"sequence": 1, "phase": "training", "sent_at": datetime.now(UTC).isoformat()}),
        (paths.PROGRESS, {"step": 1, "total_steps": 2, "sent_at": datetime.now(UTC).isoformat()}),
        (paths.LOG, {"first": 0, "lines": ["x"]}),
        (paths.DATASET, {}),
        (paths.GRANTS, {"method": "GET", "objects": [{"key": "x"}]}),
    ):
        problem(leased.say(path, **message), 409)
    # The same end again is no news.
    assert leased.say(paths.OUTCOME, outcome="preempted", exit_code=75, step=0).status_code == 204


def test_a_large_message_is_413(console: RunningConsole, leased: HttpWorker) -> None:
    url = console.url + paths.LOG
    problem(leased.http.post(url, content=b"{" + b" " * MESSAGE_BYTES + b"}"), 413)

    def unannounced() -> Any:
        for _ in range(MESSAGE_BYTES // 1024 + 2):
            yield b" " * 1024

    problem(leased.http.post(url, content=unannounced(), headers={"Content-Type": "application/json"}), 413)


def test_a_message_of_another_shape_names_the_place_and_not_the_value(console: RunningConsole, leased: HttpWorker) -> None:
    answer = leased.say(paths.HEARTBEAT, sequence="a secret text", phase="training", sent_at="2026-01-01T00:00:00Z")
    body = problem(answer, 422)
    assert "sequence" in body["detail"]
    assert "a secret text" not in answer.text


@pytest.mark.parametrize(
    "key",
    [
        "jobs/{job}/attempts/99/step-1/x",
        "jobs/other/attempts/1/step-1/x",
        "datasets/a/b/c",
        "jobs/{job}/HEAD.json",
        "jobs/{job}/samples/99/step-1/x",
    ],
)
def test_it_writes_below_its_own_prefixes_only(leased: HttpWorker, key: str) -> None:
    item = {"key": key.format(job=leased.job), "size": 1, "sha256": "0" * 64}
    problem(leased.say(paths.GRANTS, method="PUT", objects=[item]), 403)


@pytest.mark.parametrize("key", ["jobs/{job}/attempts/1/../../../x", "jobs/{job}/attempts/1//x"])
def test_a_key_that_climbs_is_422(leased: HttpWorker, key: str) -> None:
    item = {"key": key.format(job=leased.job), "size": 1, "sha256": "0" * 64}
    problem(leased.say(paths.GRANTS, method="PUT", objects=[item]), 422)


def test_it_reads_its_own_data_set_only(console: RunningConsole, leased: HttpWorker) -> None:
    other, version = new_dataset(console.client(team="other"))
    key = layout.dataset_object(other, version, "metadata.csv")
    problem(leased.say(paths.GRANTS, method="GET", objects=[{"key": key}]), 403)


def test_a_grant_to_write_is_for_the_bytes_that_were_announced(leased: HttpWorker) -> None:
    data = b"announced"
    item = {
        "key": layout.step_object(leased.job, leased.fence, 1, "x"),
        "size": len(data),
        "sha256": sha256(data).hexdigest(),
    }
    grant = leased.say(paths.GRANTS, method="PUT", objects=[item]).json()["grants"][0]
    assert httpx.put(grant["url"], content=b"something").status_code >= 400
    assert httpx.put(grant["url"] + "x", content=data).status_code == 403
    assert httpx.put(grant["url"], content=data).status_code == 201


def test_a_checkpoint_that_is_in_one_store_is_not_published(console: RunningConsole, leased: HttpWorker) -> None:
    leased.heartbeat()
    item = leased.write(layout.step_object(leased.job, leased.fence, 3, "lora"), b"weights")
    (console.directory / "stores" / "backup" / item["key"]).unlink()
    message = {"step": 3, "release": leased.release, "format_version": 1, "objects": [item], "stores": ["local", "backup"]}
    problem(leased.say(paths.CHECKPOINT, **message), 422)
    assert console.admin.get(f"{API}/jobs/{leased.job}/checkpoints").json() == []


def test_a_checkpoint_whose_bytes_are_others_is_not_published(console: RunningConsole, leased: HttpWorker) -> None:
    item = leased.write(layout.step_object(leased.job, leased.fence, 3, "lora"), b"weights")
    (console.directory / "stores" / "local" / item["key"]).write_bytes(b"WEIGHTS")
    message = {"step": 3, "release": leased.release, "format_version": 1, "objects": [item], "stores": ["local", "backup"]}
    problem(leased.say(paths.CHECKPOINT, **message), 422)


def test_publishing_again_is_harmless_and_with_other_bytes_refused(leased: HttpWorker) -> None:
    leased.heartbeat()
    assert leased.publish(2).status_code == 204
    assert leased.publish(2).status_code == 204
    problem(leased.publish(2, b"others!"), 409)


def test_a_success_without_its_files_is_not_believed(console: RunningConsole, leased: HttpWorker) -> None:
    leased.heartbeat()
    problem(leased.say(paths.OUTCOME, outcome="succeeded", exit_code=0, step=10), 422)
    item = {"key": layout.output_object(leased.job, leased.fence, "x.safetensors"), "size": 1, "sha256": "0" * 64}
    problem(leased.say(paths.OUTCOME, outcome="succeeded", exit_code=0, step=10, outputs=[item]), 422)
    assert console.admin.get(f"{API}/jobs/{leased.job}").json()["state"] == "running"
    assert leased.succeed().status_code == 204


def test_a_job_goes_on_elsewhere_from_what_was_published(start_console: StartConsole, worker: MakeWorker) -> None:
    console = start_console()
    dataset, _ = new_dataset(console.admin)
    job = new_job(console.admin, dataset)
    first = worker(console=console).leased()
    first.heartbeat()
    first.publish(4, b"at four")
    first.say(paths.OUTCOME, outcome="infrastructure", exit_code=74, step=6)
    second = worker(console=console, name="worker-2").leased()
    resume = second.lease["job"]["resume"]
    assert (second.job, second.fence, resume["step"], resume["fence"]) == (job["id"], 2, 4, 1)
    grants = second.lease["grants"]
    assert {grant["key"] for grant in grants} == {resume["objects"][0]["key"]}
    assert httpx.get(grants[0]["url"]).content == b"at four"
    again = second.say(paths.GRANTS, method="GET", objects=[{"key": resume["objects"][0]["key"]}])
    assert again.status_code == 200
    problem(first.heartbeat(1), 409)
    item = {"key": layout.step_object(first.job, first.fence, 5, "x"), "size": 1, "sha256": "0" * 64}
    problem(first.say(paths.GRANTS, method="PUT", objects=[item]), 409)
    message = {"step": 5, "release": first.release, "format_version": 1, "objects": [item], "stores": ["local", "backup"]}
    problem(first.say(paths.CHECKPOINT, **message), 409)
    problem(first.say(paths.OUTCOME, outcome="release", exit_code=1, step=6), 409)


def test_a_person_s_orders_come_with_the_heartbeat(console: RunningConsole, leased: HttpWorker) -> None:
    jobs = f"{API}/jobs/{leased.job}"
    assert leased.heartbeat(0).json()["order"] == "continue"
    assert console.admin.post(f"{jobs}/save").status_code == 200
    assert leased.heartbeat(1).json()["order"] == "save"
    assert leased.heartbeat(2).json()["order"] == "continue"
    assert console.admin.post(f"{jobs}/finish").status_code == 200
    assert leased.heartbeat(3).json()["order"] == "finish"
    assert console.admin.post(f"{jobs}/cancel").json()["cancel_requested"] is True
    assert leased.heartbeat(4).json()["order"] == "stop"
    assert leased.say(paths.OUTCOME, outcome="cancelled", exit_code=130, step=3).status_code == 204
    assert console.admin.get(jobs).json()["state"] == "cancelled"
    problem(console.admin.post(f"{jobs}/save"), 409)


def test_a_paused_site_gets_no_jobs_until_it_goes_on(start_console: StartConsole, worker: MakeWorker) -> None:
    console = start_console()
    new_job(console.admin, new_dataset(console.admin)[0])
    site = f"{API}/sites/local"
    assert console.admin.patch(site, json={"paused": True}).json()["paused"] is True
    one = worker(console=console).enrol()
    assert one.ask_lease(0).status_code == 204
    (row,) = console.admin.get(f"{API}/workers").json()
    assert (row["worker"], row["job"]) == (one.name, None)
    answers: list[httpx.Response] = []
    waiting = threading.Thread(target=lambda: answers.append(one.ask_lease(20)))
    waiting.start()
    console.admin.patch(site, json={"paused": False})
    waiting.join(20)
    assert answers[0].status_code == 200
    (row,) = console.admin.get(f"{API}/workers").json()
    assert row["job"] == one.job
    assert [site["workers"] for site in console.admin.get(f"{API}/sites").json()] == [1]
    wanted = console.admin.get(f"{API}/desired-workers").json()
    assert [(each["site"], each["release"]) for each in wanted] == [("local", one.release)]


def test_a_credential_in_the_log_is_not_kept(console: RunningConsole, leased: HttpWorker) -> None:
    assert leased.say(paths.LOG, first=0, lines=["good", "key AKIAABCDEFGHIJKLMNOP"]).status_code == 204
    lines = console.admin.get(f"{API}/jobs/{leased.job}/log").json()["lines"]
    assert lines[0] == "good"
    assert "AKIA" not in lines[1]


def test_a_lease_that_never_arrived_costs_no_time(start_console: StartConsole, worker: MakeWorker) -> None:
    console = start_console()
    job = new_job(console.admin, new_dataset(console.admin)[0])["id"]
    one = worker(console=console).leased()
    assert (one.job, one.fence) == (job, 1)
    # The answer was lost: the worker knows of no lease, and its token has led to one.
    problem(one.ask_lease(0), 401)
    again = one.leased()
    assert (again.job, again.fence) == (job, 2)
    assert again.heartbeat().status_code == 200
