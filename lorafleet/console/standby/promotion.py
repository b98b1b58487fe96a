"""Moving the home to its standby: explicit, and fenced on both sides."""

import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.rows import DictRow

from lorafleet.console.standby.fencing import fence, raise_epoch
from lorafleet.console.standby.servers import Server, answers, connected, look, place
from lorafleet.console.store.home import FIRST_EPOCH, Home
from lorafleet.contracts.problems import ConfigError, StorageError

_CATCH_UP_SECONDS = 30.0
_PROMOTE_SECONDS = 60
_LOOK_SECONDS = 0.1
_MOVING = "moving: "


@dataclass(frozen=True)
class Standing:
    """How a standby and its home stand. ``home_address`` is empty where nobody said it."""

    server: Server
    home_address: str
    home_answers: bool

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        home = self.server.home
        return {
            "in_recovery": self.server.in_recovery,
            "streaming": self.server.streaming,
            "bytes_unreplayed": self.server.bytes_unreplayed,
            "last_replayed_seconds": self.server.last_replayed_seconds,
            "home": None if home is None else {**asdict(home), "promoted_at": home.promoted_at.isoformat()},
            "home_address": self.home_address,
            "home_answers": self.home_answers,
        }


@dataclass(frozen=True)
class Promoted:
    """What was done. ``lossless``: the old home was fenced first, and the standby has all it accepted.

    ``last_replayed_seconds`` is the age of the newest transaction that the new home has, at its promotion.
    """

    home: Home
    lossless: bool
    old_home_fenced: bool
    last_replayed_seconds: float | None


def stand(database: str, home: str | None) -> Standing:
    """Look at a standby, and whether its home answers, at ``home`` or where the standby listens.

    Raises:
        ConfigError, StorageError: the standby's address is wrong, or it does not answer.
    """
    with connected(database) as connection:
        return _stand(look(connection), home)


def promote(database: str, site: str, *, home: str | None, force: bool, by: str) -> Promoted:
    """Make the standby the home, under the next epoch. What was interrupted goes on, and what is done already is only repeated.

    Without ``force`` a home that answers is left alone. With it, it is fenced, and the standby waits for its last word.

    Raises:
        ConfigError: this is not the standby, or its home is well and ``force`` is not given.
        StorageError: a database does not answer, or does not do as it is told.
    """
    with connected(database) as connection:
        standing = _stand(look(connection), home)
        server = standing.server
        if not server.in_recovery:
            return _finish(connection, server, site, home, force, by)
        if server.home is None:
            raise ConfigError(
                "its home has no name yet, so that its consoles could not be told from the new ones",
                where=place(database),
                hint="start the home's consoles with --site-home first",
            )
        if server.home.site == site and not server.home.promoted_by.startswith(_MOVING):
            raise ConfigError(f"{site} is the home's own site", where="--site", hint="name the standby's site")
        fenced = False
        target = Home(server.epoch + 1, site, datetime.now(UTC), by)
        if standing.home_answers:
            if not force:
                raise ConfigError(
                    f"the home {server.home.site} still answers at {standing.home_address}",
                    hint="--force fences it, ends its consoles, and moves the home although it is well",
                )
            target = _fence_first(connection, home, target)
            fenced = True
        age = look(connection).last_replayed_seconds
        row = connection.execute("SELECT pg_promote(true, %s) AS done", (_PROMOTE_SECONDS,)).fetchone()
        if row is None or not row["done"]:
            raise StorageError(
                f"PostgreSQL was not promoted within {_PROMOTE_SECONDS} s", where=place(database), hint="run it again"
            )
        raise_epoch(connection, target)
        return Promoted(target, lossless=fenced, old_home_fenced=fenced, last_replayed_seconds=age)


def _stand(server: Server, home: str | None) -> Standing:
    address = home or server.address_of_home
    if not address:
        return Standing(server, "", home_answers=False)
    return Standing(server, place(address), answers(address))


def _fence_first(standby: psycopg.Connection[DictRow], home: str | None, target: Home) -> Home:
    """Fence the home, wait until the standby has all it accepted, and return the home to be."""
    if home is None:
        raise ConfigError(
            "the home answers and has to be fenced, and the standby knows no role that may", where="--home",
            hint="give the address that the home's consoles use, or stop PostgreSQL there",
        )  # fmt: skip
    with connected(home) as there:
        found = look(there)
        if found.in_recovery:
            raise ConfigError("this is no home but a standby too", where=place(home))
        target = replace(target, epoch=found.epoch + 1)
        end = fence(there, replace(target, promoted_by=f"{_MOVING}{target.promoted_by}"))
    until = time.monotonic() + _CATCH_UP_SECONDS
    while not _has(standby, end):
        if time.monotonic() > until:
            raise StorageError(
                f"the home is fenced, and the standby does not have all of it after {_CATCH_UP_SECONDS:.0f} s",
                hint="run it again; with PostgreSQL at the old home stopped it goes on without the rest",
            )
        time.sleep(_LOOK_SECONDS)
    # Above what the old home has, so that the two can be told apart.
    return replace(target, epoch=target.epoch + 1)


def _has(standby: psycopg.Connection[DictRow], position: str) -> bool:
    row = standby.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn AS has", (position,)).fetchone()
    return bool(row is not None and row["has"])


def _finish(connection: psycopg.Connection[DictRow], server: Server, site: str, home: str | None, force: bool, by: str) -> Promoted:
    """The database takes writes: its promotion is done, or was interrupted, or it has been the home all along."""
    current = server.home
    interrupted = current is not None and current.site == site and current.promoted_by.startswith(_MOVING)
    if current is None or current.site != site or interrupted:
        if not force and not interrupted:
            raise ConfigError(
                f"this is no standby: it takes writes as the home {current.site if current else 'without a name'}",
                hint="give the standby's address; --force finishes a promotion that was interrupted",
            )
        current = Home(max(server.epoch, FIRST_EPOCH) + 1, site, datetime.now(UTC), by)
        raise_epoch(connection, current)
    fenced = False
    if home is not None and answers(home):
        with connected(home) as there:
            if not look(there).in_recovery:
                fence(there, current)
                fenced = True
    return Promoted(current, lossless=False, old_home_fenced=fenced, last_replayed_seconds=None)
