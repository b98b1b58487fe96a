"""The home's PostgreSQL and its standby, by the scripts that their pods run: real servers, TLS, `lorafleet standby promote`."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from postgres_server import MISSING, find_binaries

from lorafleet.cli import main
from tests.engines.home_postgres import PostgresPod, give_away
from tests.engines.pki import Authority
from tests.engines.processes import wait_until
from tests.unit.console.api.console_process import Serve, serving
from tests.unit.console.api.running_console import API, new_job, new_text_set

pytestmark = pytest.mark.skipif(find_binaries() is None, reason=MISSING)
HOME, OTHER = "aws-eu-central-1", "gcp-us-west1"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("both sites' authority")


@pytest.fixture
def pods() -> Iterator[ExitStack]:
    """Pods that are put here are gone at the end, a standby before its home."""
    with ExitStack() as stack:
        yield stack


def new_home(pods: ExitStack, authority: Authority) -> PostgresPod:
    pod = PostgresPod(HOME, authority)
    pods.callback(pod.remove)
    pod.start()
    wait_until(lambda: "roles are up to date" in pod.log, 20, "the steward made the roles")
    return pod


def new_standby(pods: ExitStack, of: PostgresPod, authority: Authority, site: str = OTHER) -> PostgresPod:
    """Not started yet."""
    pod = PostgresPod(site, authority).follow(of)
    pods.callback(pod.remove)
    return pod


@pytest.fixture(scope="module")
def home(authority: Authority) -> Iterator[PostgresPod]:
    """One for all tests that leave it as it is."""
    with ExitStack() as stack:
        yield new_home(stack, authority)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    with serving(tmp_path, "--lease-seconds", "60") as start:
        yield start


def value(url: str, statement: str) -> object:
    with psycopg.connect(url, connect_timeout=5) as connection:
        row = connection.execute(statement).fetchone()  # type: ignore[call-overload]
        return None if row is None else row[0]


def follows(standby: PostgresPod, home: PostgresPod) -> bool:
    end = value(home.url(), "SELECT pg_current_wal_flush_lsn()")
    return bool(value(standby.url(), f"SELECT pg_last_wal_replay_lsn() >= '{end}'"))


def streaming(home: PostgresPod) -> bool:
    return value(home.url(), "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == 1


def refused(url: str) -> str:
    with pytest.raises(psycopg.OperationalError) as error:
        psycopg.connect(url, connect_timeout=5)
    return str(error.value)


def test_only_tls_and_a_password_open_it(home: PostgresPod) -> None:
    assert value(home.url(), "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()") in ("TLSv1.2", "TLSv1.3")
    assert "no encryption" in refused(home.url(sslmode="disable"))
    assert "password authentication failed" in refused(home.url("wrong"))
    assert "no pg_hba.conf entry" in refused(home.url().replace("fleet:", "postgres:"))
    assert "no pg_hba.conf entry" in refused(home.url().replace("/fleet?", "/postgres?"))
    assert value(home.url(), "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
    assert value(home.url(), "SELECT current_setting('data_checksums')") == "on"


def test_certificates_and_passwords_are_renewed_while_it_runs(pods: ExitStack, authority: Authority) -> None:
    home = new_home(pods, authority)
    standby = new_standby(pods, home, authority).start()
    started = value(home.url(), "SELECT pg_postmaster_start_time()")
    old = home.url()
    for pod in (home, standby):
        pod.passwords("new 'quoted' \\ :console", "new:replication")
    for pod in (home, standby):
        pod.renew_certificate()
    wait_until(lambda: "password authentication failed" in _outcome(old), 20, "the old password is refused")
    wait_until(lambda: home.shown_certificate() == home.certificate, 20, "the new certificate is shown")
    assert value(home.url(), "SELECT pg_postmaster_start_time()") == started
    # The walreceiver logs in anew with the new password.
    with home.socket() as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
    wait_until(lambda: streaming(home), 30, "it streams again")
    assert "console" not in home.log


def _outcome(url: str) -> str:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError as error:
        return str(error)
    return ""


def test_the_standby_streams_over_tls_and_by_its_slot(home: PostgresPod, pods: ExitStack, authority: Authority) -> None:
    standby = new_standby(pods, home, authority).start()
    wait_until(lambda: streaming(home), 20, "it streams")
    with home.socket() as connection:
        row = connection.execute(
            "SELECT application_name, state, usename, ssl, client_addr IS NOT NULL FROM pg_stat_replication JOIN pg_stat_ssl USING (pid)"
        ).fetchall()
        assert row == [(OTHER, "streaming", "replication", True, True)]
        slots = connection.execute("SELECT slot_name, active, wal_status FROM pg_replication_slots").fetchall()
    assert slots == [("standby", True, "reserved")]
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), psycopg.connect(standby.url()) as connection:
        connection.execute("CREATE TABLE x ()")
    # The password of the replication is nowhere where the console's role may look.
    assert "repli" not in str(value(standby.url(), "SELECT setting FROM pg_settings WHERE name = 'primary_conninfo'")).replace(
        "user=replication", ""
    )


def test_the_home_is_lost_promoted_away_and_comes_back_as_the_standby(
    pods: ExitStack, authority: Authority, serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    home = new_home(pods, authority)
    standby = new_standby(pods, home, authority).start()
    first = serve("--database", home.url(), "--peer-database", standby.url(), "--site-home", HOME, "--replicas", "2")
    job = new_job(first.admin, new_text_set(first.admin))["id"]
    wait_until(lambda: follows(standby, home), 30, "the standby has all of it")
    assert main(["standby", "status", "--database", standby.url(), "--home", home.url()]) == 0
    assert "follows its home" in capsys.readouterr().out

    home.kill()
    first.stop(9)
    # The console's own role promotes; nobody needs the superuser.
    assert main(["standby", "promote", "--database", standby.url(), "--site", OTHER, "--home", home.url()]) == 0
    assert f"{OTHER} is the home now, epoch 2" in capsys.readouterr().out
    second = serve("--database", standby.url(), "--site-home", OTHER, "--replicas", "2", "--alone")
    assert [row["id"] for row in second.admin.get(f"{API}/jobs").json()["rows"]] == [job]
    wait_until(lambda: value(standby.url(), "SELECT count(*) FROM pg_replication_slots") == 1, 20, "it has a slot for a standby")

    # A restart of the new home, whose stack file still says standby, changes nothing.
    second.stop()
    standby.stop()
    standby.start()
    assert value(standby.url(), "SELECT pg_is_in_recovery()") is False

    # The old home comes back, is made the standby, and only then follows.
    home.start()
    assert value(home.url(), "SELECT pg_is_in_recovery()") is False
    (home.volume / "clone-again").touch()
    home.stop()
    assert "this site's role is home" in home.start_refused()
    home.follow(standby).start()
    assert value(home.url(), "SELECT pg_is_in_recovery()") is True
    assert value(home.url(), "SELECT site FROM home") == OTHER
    assert [path.name.partition("-")[0] for path in home.volume.glob("data.*")] == ["data.before"]
    wait_until(lambda: follows(home, standby), 30, "the old home has all of it")

    # And back again, with nothing lost.
    assert main(["standby", "promote", "--database", home.url(), "--site", HOME, "--home", standby.url(), "--force"]) == 0
    assert "everything that it accepted is here" in capsys.readouterr().out
    assert value(home.url(), "SELECT count(*) FROM jobs") == 1


def test_a_clone_that_was_interrupted_is_begun_again(home: PostgresPod, pods: ExitStack, authority: Authority) -> None:
    pod = new_standby(pods, home, authority)
    (pod.volume / "data.new").mkdir()
    (pod.volume / "data.new" / "half").touch()
    give_away(pod.volume / "data.new")
    pod.start()
    assert not (pod.volume / "data" / "half").exists()
    assert not (pod.volume / "data.new").exists()
    # One home only: a standby of a standby would be promoted beside it unseen.
    third = new_standby(pods, pod, authority, "third")
    assert "is a standby itself" in third.start_refused()
    assert not (third.volume / "data").exists()


def test_a_server_of_another_authority_is_not_followed(home: PostgresPod, pods: ExitStack) -> None:
    pod = new_standby(pods, home, Authority("another"))
    assert "does not answer" in pod.start_refused()
    assert "certificate verify failed" in pod.log


def test_a_copy_is_not_made_of_what_was_promoted_less_often(home: PostgresPod, pods: ExitStack, authority: Authority) -> None:
    """Whoever asks for it on the wrong side is told, and keeps the data."""
    pod = new_standby(pods, home, authority).start()
    with pod.socket() as connection:
        connection.execute("SELECT pg_promote()")
        connection.execute("CHECKPOINT")
    (pod.volume / "clone-again").touch()
    pod.stop()
    assert "which is the home" in pod.start_refused()
    assert [path.name for path in pod.volume.glob("data*")] == ["data"]
    (pod.volume / "clone-again").unlink()
    assert value(pod.start().url(), "SELECT pg_is_in_recovery()") is False


def test_the_newest_dumps_are_kept_and_can_be_read_back(home: PostgresPod) -> None:
    with psycopg.connect(home.url()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    dumps = home.folder / "dumps"
    dumps.mkdir()
    for old in ("20250101T000000Z", "20250102T000000Z"):
        (dumps / f"fleet-{old}.dump").touch()
    (dumps / "fleet-20250103T000000Z.dump.part").touch()
    give_away(dumps)
    code, said = home.script("dump.sh", DUMPS=str(dumps), HOST="127.0.0.1", KEEP="2")
    assert (code, said.startswith("dump: wrote fleet-")) == (0, True), said
    names = sorted(path.name for path in dumps.iterdir())
    assert len(names) == 2
    assert names[0] == "fleet-20250102T000000Z.dump"
    with home.socket() as connection:
        connection.execute("CREATE DATABASE again")
    assert home.run("pg_restore", "-h", str(home.run_folder), "-U", "postgres", "-d", "again", str(dumps / names[1]))[0] == 0
    with home.socket("again") as connection:
        assert connection.execute("SELECT number FROM kept").fetchall() == [(7,)]


def test_alive_tells_a_server_from_silence(home: PostgresPod, pods: ExitStack, authority: Authority) -> None:
    assert home.script("alive.sh")[0] == 0
    assert new_standby(pods, home, authority).script("alive.sh")[0] != 0
