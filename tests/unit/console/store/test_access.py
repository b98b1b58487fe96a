"""Tokens, enrolment and the audit log, on both databases."""

from datetime import timedelta

import pytest
from console_actors import Actors
from console_databases import Clock
from sqlalchemy import create_engine, text

from lorafleet.console.domain.records import Principal, Role
from lorafleet.console.domain.refusals import Conflict, NotFound, Unauthorized
from lorafleet.console.domain.tokens import new_token
from lorafleet.console.store.access import AFTER_THE_END, OVERLAP
from lorafleet.console.store.ledger import SqlLedger
from lorafleet.contracts.outcomes import OutcomeClass

HOUR = timedelta(hours=1)


def test_a_token_speaks_for_its_team_until_it_ends(ledger: SqlLedger, clock: Clock) -> None:
    record, secret = ledger.access.create_token("red", "ci", Role.TRAINER, "someone", HOUR, release="r1")
    assert ledger.access.principal(secret) == Principal("token:ci", "red", Role.TRAINER, record.id, "r1")
    assert ledger.access.tokens("red")[0].last_used_at == clock.at
    clock.advance(3600)
    with pytest.raises(Unauthorized):
        ledger.access.principal(secret)


@pytest.mark.parametrize(
    "wrong",
    ["", "lf_", "lf_x", "Bearer", new_token(), "lf_" + "é" * 49],
    ids=["nothing", "prefix", "short", "word", "unknown", "letters"],
)
def test_what_is_no_token_is_refused(ledger: SqlLedger, wrong: str) -> None:
    for ask in (ledger.access.principal, ledger.access.attempt_principal):
        with pytest.raises(Unauthorized):
            ask(wrong)
    with pytest.raises(Unauthorized):
        ledger.access.enrol("aws", "w1", wrong, HOUR)


def test_a_revoked_token_is_refused_at_once(ledger: SqlLedger) -> None:
    record, secret = ledger.access.create_token("red", "ci", Role.ADMIN, "someone")
    with pytest.raises(NotFound):
        ledger.access.revoke_token("blue", record.id, "someone")
    for _ in range(2):
        ledger.access.revoke_token("red", record.id, "someone")
    with pytest.raises(Unauthorized):
        ledger.access.principal(secret)
    assert ledger.access.tokens("red")[0].revoked_at is not None
    assert ledger.access.tokens("blue") == []


def test_no_text_of_a_token_is_stored(ledger: SqlLedger, database_url: str) -> None:
    _, secret = ledger.access.create_token("red", "ci", Role.ADMIN, "someone")
    credential = ledger.access.put_enrolment("aws")
    attempt, _ = ledger.access.enrol("aws", "w1", credential, HOUR)
    engine = create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        stored = [
            str(row)
            for table in ("tokens", "enrolments", "attempt_tokens", "audit")
            for row in connection.execute(text(f"SELECT * FROM {table}"))
        ]
    engine.dispose()
    assert stored
    assert not [row for row in stored for each in (secret, credential, attempt) if each in row]


def test_a_sites_credential_overlaps_with_the_next_one(ledger: SqlLedger, clock: Clock) -> None:
    first = ledger.access.put_enrolment("aws")
    second = ledger.access.put_enrolment("aws")
    with pytest.raises(Unauthorized):
        ledger.access.enrol("gcp", "w1", first, HOUR)
    for credential in (first, second):
        ledger.access.enrol("aws", "w1", credential, HOUR)
    third = ledger.access.put_enrolment("aws")
    with pytest.raises(Unauthorized):
        ledger.access.enrol("aws", "w1", first, HOUR)
    clock.advance(OVERLAP.total_seconds())
    with pytest.raises(Unauthorized):
        ledger.access.enrol("aws", "w1", second, HOUR)
    ledger.access.enrol("aws", "w1", third, HOUR)


def test_an_attempt_token_lives_as_long_as_its_attempt(actors: Actors) -> None:
    access = actors.ledger.access
    secret, end = access.enrol("aws", "w1", access.put_enrolment("aws"), HOUR)
    assert end == actors.clock.at + HOUR
    principal = access.attempt_principal(secret)
    assert (principal.site, principal.worker, principal.job) == ("aws", "w1", None)
    actors.submit()
    lease = actors.started()
    for _ in range(2):
        access.bind(principal.token, *lease)
    with pytest.raises(Conflict):
        access.bind(principal.token, "another", 1)
    actors.clock.advance(2 * 3600)
    # Somebody else's enrolment clears away what is over, and nothing else.
    access.enrol("aws", "w2", access.put_enrolment("aws"), HOUR)
    assert (access.attempt_principal(secret).job, access.attempt_principal(secret).fence) == lease
    actors.end(*lease, OutcomeClass.SUCCEEDED)
    assert access.attempt_principal(secret).job == lease[0]
    actors.clock.advance(AFTER_THE_END.total_seconds())
    with pytest.raises(Unauthorized):
        access.attempt_principal(secret)


def test_an_attempt_token_without_a_lease_ends(ledger: SqlLedger, clock: Clock) -> None:
    secret, _ = ledger.access.enrol("aws", "w1", ledger.access.put_enrolment("aws"), HOUR)
    token = ledger.access.attempt_principal(secret).token
    clock.advance(3600)
    with pytest.raises(Unauthorized):
        ledger.access.attempt_principal(secret)
    ledger.access.enrol("aws", "w1", ledger.access.put_enrolment("aws"), HOUR)
    with pytest.raises(Conflict):
        ledger.access.bind(token, "job", 1)


def test_the_audit_log_is_a_chain_for_each_team(ledger: SqlLedger, database_url: str) -> None:
    for number in range(5):
        ledger.access.record("red", "someone", "secret.put", f"secret {number}", {"name": "W&B", "次": number})
    ledger.access.record("blue", "someone", "secret.put", "other", {})
    assert (ledger.access.verify_audit("red"), ledger.access.verify_audit("blue")) == (5, 1)
    page = ledger.access.audit("red", limit=2)
    assert [row.number for row in page.rows] == [5, 4]
    assert [row.number for row in ledger.access.audit("red", page.after).rows] == [3, 2, 1]
    engine = create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(text("UPDATE audit SET actor = 'nobody' WHERE team = 'red' AND number = 3"))
    with pytest.raises(Conflict, match="row 3"):
        ledger.access.verify_audit("red")
    with engine.begin() as connection:
        connection.execute(text("UPDATE audit SET actor = 'someone' WHERE team = 'red' AND number = 3"))
        connection.execute(text("DELETE FROM audit WHERE team = 'red' AND number = 2"))
    engine.dispose()
    with pytest.raises(Conflict, match="row 2"):
        ledger.access.verify_audit("red")
    assert ledger.access.verify_audit("blue") == 1


def test_what_people_do_is_in_the_audit_log(actors: Actors) -> None:
    job = actors.submit().id
    actors.ledger.jobs.cancel("red", job, "ann")
    rows = actors.ledger.access.audit("red").rows
    assert [(row.actor, row.action, row.target) for row in rows[:2]] == [("ann", "job.cancel", job), ("someone", "job.submit", job)]
    assert actors.ledger.access.verify_audit("red") == len(rows)
