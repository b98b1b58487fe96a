"""Teams' secrets on both databases: sealed at rest, sealed anew after a change of key, each change in the audit log."""

import logging

import pytest
from console_databases import Clock
from pydantic import SecretStr
from sqlalchemy import create_engine, text

from lorafleet.console.domain.refusals import Conflict, NotFound
from lorafleet.console.domain.sealing import Sealer
from lorafleet.console.store.ledger import SqlLedger
from lorafleet.console.team_secrets import TeamSecrets
from lorafleet.contracts.team_secrets import MAX_SECRETS

OLD, NEW = "o" * 40, "n" * 40
VALUE = "correct-horse-battery"


def secrets_of(ledger: SqlLedger, *keys: str) -> TeamSecrets:
    return TeamSecrets(ledger.secrets, Sealer("team secrets", keys or [OLD]))


def values(secrets: TeamSecrets, team: str = "red") -> dict[str, str]:
    return {name: value.get_secret_value() for name, value in secrets.opened(team).values.items()}


def test_a_secret_is_kept_replaced_and_forgotten_in_its_team_alone(ledger: SqlLedger, clock: Clock) -> None:
    secrets = secrets_of(ledger)
    for value in ("the first value", VALUE):
        clock.advance(60)
        secrets.put("red", "HF_TOKEN", SecretStr(value), "ada")
    secrets.put("blue", "HF_TOKEN", SecretStr("another one"), "bob")
    (record,) = secrets.records("red")
    assert (record.name, record.updated_at, record.updated_by) == ("HF_TOKEN", clock.at, "ada")
    assert values(secrets) == {"HF_TOKEN": VALUE}
    with pytest.raises(NotFound):
        secrets.remove("green", "HF_TOKEN", "eve")
    secrets.remove("red", "HF_TOKEN", "ada")
    with pytest.raises(NotFound):
        secrets.remove("red", "HF_TOKEN", "ada")
    assert values(secrets) == {}
    assert values(secrets, "blue") == {"HF_TOKEN": "another one"}


def test_who_changed_which_is_in_the_audit_log_and_no_value_is_anywhere(ledger: SqlLedger, database_url: str) -> None:
    secrets = secrets_of(ledger)
    secrets.put("red", "HF_TOKEN", SecretStr(VALUE), "ada")
    secrets.remove("red", "HF_TOKEN", "bob")
    secrets.put("red", "WANDB_API_KEY", SecretStr(VALUE), "ada")
    found = [(row.action, row.target, row.actor) for row in ledger.access.audit("red").rows]
    assert found == [
        ("secret.set", "WANDB_API_KEY", "ada"),
        ("secret.remove", "HF_TOKEN", "bob"),
        ("secret.set", "HF_TOKEN", "ada"),
    ]
    assert ledger.access.verify_audit("red") == 3
    engine = create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        for table in ("team_secrets", "audit"):
            stored = [str(row) for row in connection.execute(text(f"SELECT * FROM {table}"))]
            assert stored
            assert VALUE not in "".join(stored)
    engine.dispose()


def test_a_team_has_so_many_and_may_still_replace_them(ledger: SqlLedger) -> None:
    secrets = secrets_of(ledger)
    for number in range(MAX_SECRETS):
        secrets.put("red", f"KEY_{number}", SecretStr(VALUE), "ada")
    with pytest.raises(Conflict, match="32 secrets"):
        secrets.put("red", "ONE_MORE", SecretStr(VALUE), "ada")
    secrets.put("red", "KEY_0", SecretStr("another value"), "ada")
    secrets.put("blue", "ONE_MORE", SecretStr(VALUE), "ada")
    assert values(secrets)["KEY_0"] == "another value"


def test_after_a_change_of_key_everything_is_sealed_under_the_new_one(ledger: SqlLedger) -> None:
    secrets_of(ledger, OLD).put("red", "HF_TOKEN", SecretStr(VALUE), "ada")
    before = ledger.secrets.of_team("red")[0]
    both = secrets_of(ledger, NEW, OLD)
    assert values(both) == {"HF_TOKEN": VALUE}
    both.rotate()
    after = ledger.secrets.of_team("red")[0]
    assert after.sealed != before.sealed
    assert (after.updated_at, after.updated_by) == (before.updated_at, before.updated_by)
    assert values(secrets_of(ledger, NEW)) == {"HF_TOKEN": VALUE}
    both.rotate()
    assert ledger.secrets.of_team("red")[0] == after
    # Another console that looked before this one wrote.
    assert not ledger.secrets.reseal(before, "v1.stale.")
    assert ledger.secrets.of_team("red")[0] == after


def test_what_no_key_opens_is_named_and_warned_of(ledger: SqlLedger, caplog: pytest.LogCaptureFixture) -> None:
    secrets_of(ledger, OLD).put("red", "HF_TOKEN", SecretStr(VALUE), "ada")
    new = secrets_of(ledger, NEW)
    new.put("red", "WANDB_API_KEY", SecretStr(VALUE), "ada")
    with caplog.at_level(logging.WARNING):
        new.rotate()
    assert "1 secrets of teams" in caplog.text
    assert "LORAFLEET_PREVIOUS_SECRET" in caplog.text
    opened = new.opened("red")
    assert (list(opened.values), opened.unreadable) == (["WANDB_API_KEY"], ("HF_TOKEN",))
    assert [new.readable(record) for record in new.records("red")] == [False, True]
