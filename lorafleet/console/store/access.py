"""Tokens, enrolment and the audit log. Of a token only its SHA-256 is stored, so that looking one up compares no secret text."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, delete, insert, or_, select, update

from lorafleet.console.domain import audit_chain
from lorafleet.console.domain.naming import new_id
from lorafleet.console.domain.records import AttemptPrincipal, AuditRecord, Page, Principal, Role, TokenRecord
from lorafleet.console.domain.refusals import Conflict, NotFound, Unauthorized
from lorafleet.console.domain.tokens import fingerprint, new_token, well_formed
from lorafleet.console.store import chain, pages, rows
from lorafleet.console.store.database import Database
from lorafleet.console.store.schema import attempt_tokens, attempts, audit, enrolments, tokens

OVERLAP = timedelta(days=1)
"""How long a site's old enrolment credential is still taken after a new one was made."""

AFTER_THE_END = timedelta(minutes=10)
"""How long an attempt's token is taken after its end: whoever repeats a message then learns what became of it, and can do no more."""

# "Last used" need not be exact, and a write at each request would cost more than the request.
_USED_AGAIN = timedelta(minutes=1)
_BATCH = 1000
_ITS_ATTEMPT = and_(attempts.c.job == attempt_tokens.c.job, attempts.c.fence == attempt_tokens.c.fence)


class SqlAccess:
    """:class:`lorafleet.console.ports.Access`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create_token(
        self, team: str, name: str, role: Role, actor: str, lifetime: timedelta | None = None, release: str | None = None
    ) -> tuple[TokenRecord, str]:
        """A token and its text, which is given out this once."""
        text = new_token()
        with self._database.write() as transaction:
            values: dict[str, Any] = {
                "id": new_id(name, "token"), "team": team, "name": name, "role": role, "sha256": fingerprint(text),
                "release_id": release, "created_at": transaction.now,
                "expires_at": None if lifetime is None else transaction.now + lifetime,
            }  # fmt: skip
            transaction.execute(insert(tokens).values(values))
            chain.append(transaction, team, actor, "token.create", values["id"], {"name": name, "role": role})
        return rows.token({**values, "last_used_at": None, "revoked_at": None}), text

    def principal(self, text: str) -> Principal:
        """Who a token's text speaks for. Raises Unauthorized."""
        if not well_formed(text):
            raise _unauthorized()
        with self._database.read() as transaction:
            row, now = transaction.one(select(tokens).where(tokens.c.sha256 == fingerprint(text))), transaction.now
        if row is None or row["revoked_at"] is not None or (row["expires_at"] is not None and row["expires_at"] <= now):
            raise _unauthorized()
        if row["last_used_at"] is None or now - row["last_used_at"] >= _USED_AGAIN:
            with self._database.write(durable=False) as transaction:
                transaction.execute(update(tokens).where(tokens.c.id == row["id"]).values(last_used_at=now))
        return Principal(f"token:{row['name']}", row["team"], Role(row["role"]), row["id"], row["release_id"])

    def tokens(self, team: str) -> Sequence[TokenRecord]:
        """Newest first, the revoked ones too."""
        statement = select(tokens).where(tokens.c.team == team).order_by(tokens.c.created_at.desc(), tokens.c.id)
        with self._database.read() as transaction:
            return [rows.token(row) for row in transaction.all(statement)]

    def revoke_token(self, team: str, token: str, actor: str) -> None:
        """End a token at once; again is harmless. Raises NotFound."""
        with self._database.write() as transaction:
            row = transaction.one(select(tokens).where(tokens.c.id == token, tokens.c.team == team))
            if row is None:
                raise NotFound(f"there is no token {token}")
            if row["revoked_at"] is None:
                transaction.execute(update(tokens).where(tokens.c.id == token).values(revoked_at=transaction.now))
                chain.append(transaction, team, actor, "token.revoke", token)

    def put_enrolment(self, site: str) -> str:
        """A new credential of a site. The newest of the old ones is good for :data:`OVERLAP` more, the others end now."""
        text = new_token()
        with self._database.write() as transaction:
            now = transaction.now
            transaction.execute(delete(enrolments).where(enrolments.c.site == site, enrolments.c.expires_at.is_not(None)))
            transaction.execute(update(enrolments).where(enrolments.c.site == site).values(expires_at=now + OVERLAP))
            transaction.execute(insert(enrolments).values(sha256=fingerprint(text), site=site, created_at=now))
            chain.append(transaction, chain.FLEET, "console", "site.enrolment", site)
        return text

    def enrol(self, site: str, worker: str, credential: str, lifetime: timedelta) -> tuple[str, datetime]:
        """A token for one lease request and the attempt that it leads to. Raises Unauthorized."""
        if not well_formed(credential):
            raise _unauthorized()
        text = new_token()
        with self._database.write(durable=False) as transaction:
            now = transaction.now
            known = select(enrolments.c.sha256).where(
                enrolments.c.sha256 == fingerprint(credential),
                enrolments.c.site == site,
                or_(enrolments.c.expires_at.is_(None), enrolments.c.expires_at > now),
            )
            if transaction.one(known) is None:
                raise _unauthorized()
            over = select(attempts.c.job).where(_ITS_ATTEMPT, attempts.c.ended_at <= now - AFTER_THE_END)
            unused = and_(attempt_tokens.c.job.is_(None), attempt_tokens.c.expires_at <= now)
            transaction.execute(delete(attempt_tokens).where(or_(unused, over.exists())))
            transaction.execute(
                insert(attempt_tokens).values(
                    sha256=fingerprint(text), id=new_id(worker, "worker"), site=site, worker=worker, expires_at=now + lifetime
                )
            )
        return text, now + lifetime

    def attempt_principal(self, text: str) -> AttemptPrincipal:
        """Which worker a token's text speaks for. Raises Unauthorized, also :data:`AFTER_THE_END` of its attempt."""
        if not well_formed(text):
            raise _unauthorized()
        statement = (
            select(attempt_tokens, attempts.c.ended_at)
            .join_from(attempt_tokens, attempts, _ITS_ATTEMPT, isouter=True)
            .where(attempt_tokens.c.sha256 == fingerprint(text))
        )
        with self._database.read() as transaction:
            row, now = transaction.one(statement), transaction.now
        if row is None or (row["job"] is None and row["expires_at"] <= now):
            raise _unauthorized()
        if row["ended_at"] is not None and row["ended_at"] + AFTER_THE_END <= now:
            raise _unauthorized()
        return AttemptPrincipal(row["site"], row["worker"], row["id"], row["job"], row["fence"])

    def bind(self, token: str, job: str, fence: int) -> None:
        """Tie a token to its lease. Raises Conflict where it has another one."""
        with self._database.write() as transaction:
            free = or_(attempt_tokens.c.job.is_(None), and_(attempt_tokens.c.job == job, attempt_tokens.c.fence == fence))
            statement = update(attempt_tokens).where(attempt_tokens.c.id == token, free).values(job=job, fence=fence)
            if transaction.execute(statement).rowcount == 0:
                raise Conflict("this token belongs to another attempt or has ended", hint="enrol again before the next lease")

    def record(self, team: str, actor: str, action: str, target: str, values: Mapping[str, Any]) -> None:
        """Add a row to the team's audit log."""
        with self._database.write() as transaction:
            chain.append(transaction, team, actor, action, target, dict(values))

    def audit(self, team: str, after: str | None = None, limit: int = 100) -> Page[AuditRecord]:
        """Newest first."""
        limit, before = pages.size(limit), pages.position(after)
        statement = select(audit).where(audit.c.team == team).order_by(audit.c.number.desc()).limit(limit + 1)
        with self._database.read() as transaction:
            found = transaction.all(statement if before is None else statement.where(audit.c.number < before))
        return pages.page(found, limit, rows.audit)

    def verify_audit(self, team: str) -> int:
        """How many rows hold. Raises Conflict naming the first that does not."""
        before, count = audit_chain.FIRST, 0
        with self._database.read() as transaction:
            while True:
                statement = select(audit).where(audit.c.team == team, audit.c.number > count).order_by(audit.c.number).limit(_BATCH)
                found = transaction.all(statement)
                for row in found:
                    count += 1
                    before = audit_chain.digest(
                        before, team, count, row["at"], row["actor"], row["action"], row["target"], row["details"]
                    )
                    if (row["number"], row["digest"]) != (count, before):
                        raise Conflict(f"row {count} of the audit log of {team} was changed or the one before it taken out")
                if len(found) < _BATCH:
                    return count


def _unauthorized() -> Unauthorized:
    return Unauthorized("this token is not good (any more)", hint="ask for a new one")
