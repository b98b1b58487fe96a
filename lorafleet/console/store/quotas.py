"""Teams' quotas: how many jobs of a team may run at once."""

from collections.abc import Mapping

from sqlalchemy import func, select

from lorafleet.console.store.database import Transaction
from lorafleet.console.store.schema import IS_RUNNING, jobs, quotas


def limits(transaction: Transaction) -> dict[str, int]:
    """The limit of each team that has one."""
    return {row["team"]: row["max_running"] for row in transaction.all(select(quotas))}


def left(transaction: Transaction, of: Mapping[str, int]) -> dict[str, int]:
    """How many jobs more each of these teams may run, by its limit."""
    if not of:
        return {}
    statement = select(jobs.c.team, func.count().label("running")).where(IS_RUNNING, jobs.c.team.in_(of)).group_by(jobs.c.team)
    running = {row["team"]: row["running"] for row in transaction.all(statement)}
    return {team: limit - running.get(team, 0) for team, limit in of.items()}
