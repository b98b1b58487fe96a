"""``lorafleet standby`` where there is nothing to move, in one clear line each."""

import pytest

from lorafleet.cli import main
from lorafleet.console.standby.servers import answers, place
from lorafleet.console.store.ledger import open_ledger


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(["standby", *words])
    (line,) = capsys.readouterr().err.splitlines()
    return code, line


def test_a_home_is_no_standby(capsys: pytest.CaptureFixture[str], postgres_url: str) -> None:
    open_ledger(postgres_url, site="aws").close()
    code, line = refused(capsys, "promote", "--database", postgres_url, "--site", "gcp")
    assert code == 78
    assert "takes writes as the home aws" in line
    assert main(["standby", "status", "--database", postgres_url]) == 0
    assert "epoch 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("status", "--database", "sqlite:///x"), 78, "sqlite has no standby"),
        (("status", "--database", "x://y z:///"), 78, "no database address"),
        (("status", "--database", "postgresql://me:secret@127.0.0.1:1/none"), 74, "127.0.0.1:1: the database does not answer"),
        (("promote", "--database", "postgresql://127.0.0.1:1/none", "--site", "A b"), 2, "no site's name"),
    ],
)
def test_wrong_words(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, said: str) -> None:
    got, line = refused(capsys, *words)
    assert got == code
    assert said in line
    assert "secret" not in line


def test_places_hold_no_password() -> None:
    assert place("postgresql+psycopg://me:secret@db.example:5433/name") == "db.example:5433"
    assert not answers("host=127.0.0.1 port=1")
