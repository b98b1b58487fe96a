"""The home: which site this PostgreSQL serves, and under which epoch. A higher epoch fences every console of a lower one."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from lorafleet.console.store.database import Database, Transaction
from lorafleet.console.store.schema import home
from lorafleet.contracts.problems import ConfigError

FIRST_EPOCH = 1


@dataclass(frozen=True)
class Home:
    """``promoted_by`` says who made it the home, and why."""

    epoch: int
    site: str
    promoted_at: datetime
    promoted_by: str


def read(transaction: Transaction) -> Home | None:
    """The home, or None where it has no name yet."""
    row = transaction.one(select(home))
    return None if row is None else Home(row["epoch"], row["site"], row["promoted_at"], row["promoted_by"])


def enter(database: Database, site: str | None) -> int:
    """The epoch that a console of ``site`` starts under. The first console that names a site names the home.

    Raises:
        ConfigError: the home is another site, or has a name and this console says none, so that after a promotion nobody could
            tell the old home's console from the new one's.
    """
    if not database.postgres:
        return FIRST_EPOCH
    with database.write() as transaction:
        if site is not None:
            values = {"id": 1, "epoch": FIRST_EPOCH, "site": site, "promoted_at": transaction.now, "promoted_by": "its first start"}
            transaction.execute(insert(home).values(values).on_conflict_do_nothing())
        found = read(transaction)
    if found is None:
        return FIRST_EPOCH
    if site is None:
        raise ConfigError(
            f"this database's home is {found.site}, and this console does not say where it runs",
            where="--site-home",
            hint=f"give --site-home {found.site} where that is so",
        )
    if found.site != site:
        raise ConfigError(
            f"this database's home is {found.site} since {found.promoted_at:%Y-%m-%d %H:%M:%S} UTC (epoch {found.epoch})",
            where=f"--site-home {site}",
            hint=f"use the console of {found.site}, or make {site} the home with 'lorafleet standby promote'",
        )
    return found.epoch
