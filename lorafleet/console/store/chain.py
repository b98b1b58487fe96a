"""Writing to the audit log in the transaction of what it tells of."""

from typing import Any

from sqlalchemy import insert, select

from lorafleet.console.domain.audit_chain import FIRST, digest
from lorafleet.console.store.database import Transaction
from lorafleet.console.store.schema import audit

FLEET = "fleet"
"""The team whose log has what belongs to no team: releases, sites."""


def append(transaction: Transaction, team: str, actor: str, action: str, target: str, values: dict[str, Any] | None = None) -> None:
    """Add a row at the transaction's end, where the team's rows are in order."""

    def write() -> None:
        last = transaction.one(
            select(audit.c.number, audit.c.digest).where(audit.c.team == team).order_by(audit.c.number.desc()).limit(1)
        )
        number, before = (last["number"] + 1, last["digest"]) if last is not None else (1, FIRST)
        details = values or {}
        sealed = digest(before, team, number, transaction.now, actor, action, target, details)
        row = {
            "team": team, "number": number, "at": transaction.now, "actor": actor, "action": action, "target": target,
            "details": details, "digest": sealed,
        }  # fmt: skip
        transaction.execute(insert(audit).values(row))

    transaction.at_end(team, write)
