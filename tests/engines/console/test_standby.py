"""Moving the console's home to its streaming standby, on two real PostgreSQL servers and with real consoles."""

import json
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psycopg
import pytest
from postgres_server import PostgresServer
from psycopg.rows import dict_row

from lorafleet.cli import main
from lorafleet.console.standby.fencing import fence
from lorafleet.console.standby.promotion import stand
from lorafleet.console.store.home import Home
from lorafleet.console.store.queue import FENCES_OF_A_HOME
from tests.unit.console.api.console_process import ConsoleProcess, Serve, serving
from tests.unit.console.api.running_console import API, new_job, new_text_set, problem, soon

HOME, OTHER = "aws-eu-central-1", "gcp-us-west1"


@dataclass(frozen=True)
class Pair:
    home: PostgresServer
    standby: PostgresServer
    name: str

    @property
    def at_home(self) -> str:
        return self.home.plain_url(self.name)

    @property
    def at_standby(self) -> str:
        return self.standby.plain_url(self.name)

    def options(self, site: str) -> list[str]:
        own, peer = (self.at_home, self.at_standby) if site == HOME else (self.at_standby, self.at_home)
        return ["--database", own, "--peer-database", peer, "--site-home", site, "--replicas", "2"]

    def catch_up(self) -> None:
        def caught_up() -> bool:
            with psycopg.connect(self.at_home) as home, psycopg.connect(self.at_standby) as standby:
                (end,) = home.execute("SELECT pg_current_wal_flush_lsn()").fetchone() or (None,)
                (there,) = standby.execute("SELECT pg_last_wal_replay_lsn() >= %s", (end,)).fetchone() or (False,)
                return bool(there)

        soon(caught_up, 30)


@pytest.fixture
def pair(binaries: Path) -> Iterator[Pair]:
    home = PostgresServer(binaries, ("synchronous_commit=on",))
    try:
        name = home.create()
        standby = PostgresServer(binaries, home=home)
        try:
            yield Pair(home, standby, name)
        finally:
            standby.remove()
    finally:
        home.remove()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """All consoles share one folder: the secret and the stores, which both sites reach."""
    with serving(tmp_path, "--lease-seconds", "60") as start:
        yield start


def promote(pair: Pair, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str, list[str]]:
    capsys.readouterr()
    code = main(["standby", "promote", "--database", pair.at_standby, "--site", OTHER, *options])
    said = capsys.readouterr()
    return code, said.out, said.err.splitlines()


def jobs_in(database: str) -> set[str]:
    with psycopg.connect(database) as connection:
        return {row[0] for row in connection.execute("SELECT id FROM jobs").fetchall()}


def ended(console: ConsoleProcess) -> tuple[int | None, str]:
    console.process.join(20)
    return console.process.exitcode, console.output.read_text().splitlines()[-1]


def test_the_home_is_killed_and_comes_back(pair: Pair, serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    first, outliving = serve(*pair.options(HOME)), serve(*pair.options(HOME))
    dataset = new_text_set(first.admin)
    running = new_job(first.admin, dataset)["id"]
    worker = first.worker().leased()
    worker.heartbeat()
    assert worker.publish(4).status_code == 204
    waiting = new_job(first.admin, dataset)["id"]
    pair.catch_up()

    pair.home.stop(signal.SIGKILL)
    first.stop(signal.SIGKILL)
    problem(outliving.admin.get(f"{API}/jobs"), 503)
    code, out, err = promote(pair, capsys)
    assert (code, err) == (0, [])
    assert f"{OTHER} is the home now, epoch 2" in out
    second = serve(*pair.options(OTHER), "--alone")

    # The worker goes on where it was, and what waited is leased under a fence that the old home never gives out.
    worker.console = second
    assert worker.heartbeat(1).status_code == 200
    assert worker.publish(6).status_code == 204
    other = second.worker("worker-2").leased()
    assert (other.job, other.fence) == (waiting, FENCES_OF_A_HOME + 1)
    other.heartbeat()
    assert other.succeed().status_code == 204
    assert worker.succeed().status_code == 204
    states = {row["id"]: row["state"] for row in second.admin.get(f"{API}/jobs").json()["rows"]}
    assert states == {running: "succeeded", waiting: "succeeded"}

    pair.home.start()
    body = {"name": "late", "dataset": dataset, "training": {"base_model": "x"}}
    answers = []
    while outliving.process.is_alive():
        try:
            answers.append(outliving.admin.post(f"{API}/jobs", json=body).status_code)
        except httpx.TransportError:
            break
    assert set(answers) <= {503}
    ended_with, line = ended(outliving)
    assert ended_with == 74
    assert line.startswith(f"error: {OTHER} is the home since")
    assert jobs_in(pair.at_home) == {running, waiting}
    for options in (pair.options(HOME), pair.options(HOME)[:2], [*pair.options(HOME)[:2], "--site-home", HOME]):
        assert main(["serve", "--dir", str(first.directory), "--port", "0", *options]) == 78
        assert f"this database's home is {OTHER}" in capsys.readouterr().err
    assert second.admin.get(f"{API}/jobs").status_code == 200


def test_a_home_that_is_well_is_moved_and_nothing_that_it_accepted_is_lost(
    pair: Pair, serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    first = serve(*pair.options(HOME))
    dataset = new_text_set(first.admin)
    pair.catch_up()
    code, _, err = promote(pair, capsys)
    assert (code, len(err)) == (78, 1)
    assert f"the home {HOME} still answers at 127.0.0.1:{pair.home.port}" in err[0]
    code, _, err = promote(pair, capsys, "--force")
    assert (code, len(err)) == (78, 1)
    assert err[0].startswith("error: --home: ")
    assert new_job(first.admin, dataset)["id"]

    accepted: set[str] = set()

    def submit() -> None:
        body = {"name": "x", "dataset": dataset, "training": {"base_model": "x"}}
        with httpx.Client(base_url=first.url, headers=first.admin.headers, verify=False, timeout=30) as client:
            while True:
                try:
                    answer = client.post(f"{API}/jobs", json=body)
                except httpx.TransportError:
                    return
                if answer.status_code == 201:
                    accepted.add(answer.json()["id"])

    submitters = [threading.Thread(target=submit) for _ in range(4)]
    for thread in submitters:
        thread.start()
    soon(lambda: len(accepted) > 10)
    code, out, err = promote(pair, capsys, "--force", "--home", pair.at_home, "--reason", "drill", "--json")
    assert (code, err) == (0, [])
    done = json.loads(out)
    assert (done["home"]["site"], done["lossless"], done["old_home_fenced"]) == (OTHER, True, True)
    assert done["home"]["promoted_by"].endswith(": drill")
    for thread in submitters:
        thread.join(30)
    ended_with, line = ended(first)
    assert ended_with == 74
    assert line.startswith(f"error: {OTHER} is the home since")
    assert accepted <= jobs_in(pair.at_standby)
    assert jobs_in(pair.at_home) == jobs_in(pair.at_standby)
    second = serve(*pair.options(OTHER))
    assert second.worker().leased().job in jobs_in(pair.at_standby)
    # Once more changes nothing, and says so.
    again, out, _ = promote(pair, capsys)
    assert (again, f"{OTHER} is the home" in out) == (0, True)


def test_a_promotion_that_was_interrupted_is_finished(pair: Pair, serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    first = serve(*pair.options(HOME))
    pair.catch_up()
    pair.home.stop(signal.SIGKILL)
    first.stop(signal.SIGKILL)
    with psycopg.connect(pair.at_standby, autocommit=True) as connection:
        connection.execute("SELECT pg_promote()")
    options = pair.options(OTHER)
    assert main(["serve", "--dir", str(first.directory), "--port", "0", *options, "--alone"]) == 78
    code, _, err = promote(pair, capsys)
    assert (code, len(err)) == (78, 1)
    assert "no standby" in err[0]
    code, _, err = promote(pair, capsys, "--force")
    assert (code, err) == (0, [])
    standing = stand(pair.at_standby, pair.at_home)
    assert standing.server.home is not None
    assert (standing.server.home.site, standing.server.epoch, standing.home_answers) == (OTHER, 2, False)


def test_a_move_that_was_interrupted_after_the_home_was_fenced_is_finished(
    pair: Pair, serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    first = serve(*pair.options(HOME))
    pair.catch_up()
    with psycopg.connect(pair.at_home, autocommit=True, row_factory=dict_row) as connection:
        fence(connection, Home(2, OTHER, datetime.now(UTC), "moving: test"))
    ended(first)
    pair.catch_up()
    with psycopg.connect(pair.at_standby, autocommit=True) as connection:
        connection.execute("SELECT pg_promote()")
    code, out, err = promote(pair, capsys, "--home", pair.at_home)
    assert (code, err) == (0, [])
    assert "epoch 3" in out
    assert stand(pair.at_home, None).server.epoch == 3


def test_status(pair: Pair, serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    first = serve(*pair.options(HOME))
    pair.catch_up()
    assert main(["standby", "status", "--database", pair.at_standby, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["in_recovery"], told["streaming"], told["home"]["site"], told["home_answers"]) == (True, True, HOME, True)
    assert told["home_address"] == f"127.0.0.1:{pair.home.port}"
    assert main(["standby", "status", "--database", pair.at_home]) == 0
    assert "no standby" in capsys.readouterr().out
    at_standby = ["--database", pair.at_standby, "--site-home", HOME]
    assert main(["serve", "--dir", str(first.directory), "--port", "0", *at_standby]) == 74
    assert "the database is a standby" in capsys.readouterr().err
