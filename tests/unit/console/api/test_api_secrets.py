"""A team's secrets go in, and come out to the attempt that holds the lease of one of its jobs; to nobody else."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from lorafleet.console.domain.records import Role
from lorafleet.console.embedded import embedded_settings
from lorafleet.contracts import paths
from tests.unit.console.api.running_console import API, HttpWorker, RunningConsole, StartConsole, new_job, new_text_set, problem

MakeWorker = Callable[..., HttpWorker]
VALUE = "correct-horse-battery"


_numbers = itertools.count()


@pytest.fixture
def teams(console: RunningConsole) -> dict[str, httpx.Client]:
    """Administrators of two teams that no other test knows."""
    number = next(_numbers)
    return {team: console.client(team=f"{team}-{number}") for team in ("red", "blue")}


def put(client: httpx.Client, name: str, value: Any = VALUE) -> httpx.Response:
    return client.put(f"{API}/secrets/{name}", json={"value": value})


def leased(client: httpx.Client, make: MakeWorker) -> HttpWorker:
    job = new_job(client, new_text_set(client))["id"]
    one = make().leased()
    assert one.job == job
    return one


def test_a_value_goes_in_and_is_never_given_back_to_people(console: RunningConsole, teams: dict[str, httpx.Client]) -> None:
    red = teams["red"]
    made = put(red, "HF_TOKEN")
    assert made.status_code == 200, made.text
    assert made.json().keys() == {"name", "updated_at", "updated_by", "readable"}
    (row,) = red.get(f"{API}/secrets").json()
    assert (row["name"], row["updated_by"][:18], row["readable"]) == ("HF_TOKEN", "token:admin of red", True)
    for path in ("/secrets", "/audit", "/secrets/HF_TOKEN"):
        assert VALUE not in red.get(API + path).text
    assert made.headers["cache-control"] == "no-store"
    assert VALUE not in made.text
    assert VALUE.encode() not in (console.directory / "console.sqlite").read_bytes()
    assert VALUE not in repr(console.services)
    assert teams["blue"].get(f"{API}/secrets").json() == []
    problem(teams["blue"].delete(f"{API}/secrets/HF_TOKEN"), 404)
    assert red.delete(f"{API}/secrets/HF_TOKEN").status_code == 204
    problem(red.delete(f"{API}/secrets/HF_TOKEN"), 404)
    actions = [row["action"] for row in red.get(f"{API}/audit").json()["rows"] if row["target"] == "HF_TOKEN"]
    assert actions == ["secret.remove", "secret.set"]


@pytest.mark.parametrize(("method", "least"), [("GET", Role.TRAINER), ("PUT", Role.ADMIN), ("DELETE", Role.ADMIN)])
def test_trainers_look_and_administrators_change(console: RunningConsole, method: str, least: Role) -> None:
    order = list(Role)
    for role in order:
        client = console.client(role, team="roles")
        path = f"{API}/secrets" if method == "GET" else f"{API}/secrets/HF_TOKEN"
        answer = client.request(method, path, json={"value": VALUE} if method == "PUT" else None)
        assert (answer.status_code == 403) == (order.index(role) < order.index(least)), (role, answer.text)
    problem(console.anonymous().get(f"{API}/secrets"), 401)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LD_PRELOAD", VALUE), ("PATH", VALUE), ("PYTHONPATH", VALUE), ("LORAFLEET_SECRET", VALUE), ("lower_case", VALUE), ("AB", VALUE),
        ("HF_TOKEN", "sh0rt-1"), ("HF_TOKEN", "x" * 4097), ("HF_TOKEN", f"{VALUE}\x00"), ("HF_TOKEN", f"{VALUE}\n"), ("HF_TOKEN", 12345678),
        ("HF_TOKEN", None), ("HF_TOKEN", [VALUE]),
    ],
)  # fmt: skip
def test_what_is_no_secret_is_refused_and_not_repeated(teams: dict[str, httpx.Client], name: str, value: Any) -> None:
    answer = put(teams["red"], name, value)
    problem(answer, 422)
    assert value is None or str(value) not in answer.text
    assert teams["red"].get(f"{API}/secrets").json() == []


def test_the_attempt_that_holds_the_lease_gets_its_team_s_and_nobody_else_does(
    console: RunningConsole, teams: dict[str, httpx.Client], worker: MakeWorker
) -> None:
    put(teams["red"], "WANDB_API_KEY")
    put(teams["blue"], "HF_TOKEN", "the-other-team-s")
    one = leased(teams["red"], worker)
    given = one.say(paths.SECRETS)
    assert given.json() == {
        "protocol": 1, "job": one.job, "fence": one.fence, "secrets": {"WANDB_API_KEY": VALUE}, "unreadable": [],
    }  # fmt: skip
    assert given.headers["cache-control"] == "no-store"
    other = leased(teams["blue"], worker)
    assert other.say(paths.SECRETS).json()["secrets"] == {"HF_TOKEN": "the-other-team-s"}
    # Neither another attempt's token nor a person's, nor one that has led to no lease yet.
    stolen = {"protocol": 1, "job": one.job, "fence": one.fence}
    problem(other.http.post(console.url + paths.SECRETS, json=stolen), 403)
    problem(other.http.post(console.url + paths.SECRETS, json={**stolen, "fence": one.fence + 1}), 403)
    problem(worker().enrol().http.post(console.url + paths.SECRETS, json=stolen), 403)
    for client in (teams["red"], console.admin):
        problem(client.post(paths.SECRETS, json=stolen), 401)
    problem(console.anonymous().post(paths.SECRETS, json=stolen), 401)


def test_an_attempt_that_is_over_or_fenced_off_gets_nothing(
    console: RunningConsole, teams: dict[str, httpx.Client], worker: MakeWorker
) -> None:
    put(teams["red"], "WANDB_API_KEY")
    ended = leased(teams["red"], worker)
    ended.heartbeat()
    assert ended.say(paths.OUTCOME, outcome="preempted", exit_code=75, step=0).status_code < 300
    answer = ended.say(paths.SECRETS)
    problem(answer, 409)
    assert VALUE not in answer.text
    again = worker().leased()
    assert (again.job, again.fence) == (ended.job, ended.fence + 1)
    problem(ended.say(paths.SECRETS), 409)
    assert again.say(paths.SECRETS).json()["secrets"] == {"WANDB_API_KEY": VALUE}


def test_a_console_with_a_new_secret_reads_the_old_one_s_after_one_start_with_both(
    start_console: StartConsole, worker: MakeWorker, postgres_url: str
) -> None:
    first = start_console(database_url=postgres_url)
    put(first.admin, "HF_TOKEN")
    old = first.services.settings.secret
    forgot = start_console(beside=first, database_url=postgres_url, secret="n" * 40)
    one = leased(forgot.admin, lambda: worker(console=forgot))
    given = one.say(paths.SECRETS).json()
    assert (given["secrets"], given["unreadable"]) == ({}, ["HF_TOKEN"])
    assert [row["readable"] for row in forgot.admin.get(f"{API}/secrets").json()] == [False]
    assert "secrets" in [check["name"] for check in forgot.admin.get(f"{API}/checkup").json()["checks"]]
    both = start_console(beside=first, database_url=postgres_url, secret="n" * 40, previous_secret=old)
    assert old not in repr(replace(both.services.settings, port=1))
    assert [row["readable"] for row in forgot.admin.get(f"{API}/secrets").json()] == [True]
    assert one.say(paths.SECRETS).json()["secrets"] == {"HF_TOKEN": VALUE}
    assert "secrets" not in [check["name"] for check in forgot.admin.get(f"{API}/checkup").json()["checks"]]


def test_the_previous_secret_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORAFLEET_SECRET", "n" * 40)
    assert embedded_settings(tmp_path, "127.0.0.1", 8400, None).secrets == ("n" * 40,)
    monkeypatch.setenv("LORAFLEET_PREVIOUS_SECRET", "o" * 40)
    assert embedded_settings(tmp_path, "127.0.0.1", 8400, None).secrets == ("n" * 40, "o" * 40)
