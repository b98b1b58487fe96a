"""Two sites' databases that do not follow each other: the one of the lower epoch is fenced, whichever side notices first."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.rows import DictRow

from lorafleet.console.standby.fencing import fence
from lorafleet.console.standby.servers import Server, connected, look, place
from lorafleet.contracts.problems import StorageError


class PeerSilent(StorageError):
    """The other site's database does not answer, so that nobody can tell whether it was promoted."""


def settle(own: str, peer: str) -> None:
    """Look at both sites' databases, and fence the one that the other was promoted over.

    Raises:
        PeerSilent: the other site's does not answer.
        StorageError: this one does not answer, or both take writes under one epoch.
    """
    with _speaking(peer) as there:
        other = look(there)
        if other.in_recovery:
            return
        with connected(own) as here:
            mine = look(here)
            if mine.in_recovery or _agree(mine, other):
                return
            if other.epoch > mine.epoch and other.home is not None:
                fence(here, other.home)
            elif mine.epoch > other.epoch and mine.home is not None:
                fence(there, mine.home)
            else:
                raise StorageError(
                    f"two databases take writes under epoch {mine.epoch}",
                    where=place(own),
                    hint="finish 'lorafleet standby promote', or make the other one a standby again",
                )


@contextmanager
def _speaking(peer: str) -> Iterator[psycopg.Connection[DictRow]]:
    try:
        with connected(peer) as there:
            yield there
    except StorageError as error:
        if error.problems[0].where != place(peer):
            raise
        raise PeerSilent(
            f"whether the other site was promoted cannot be told: {error.problems[0].what}",
            where=place(peer),
            hint="--alone starts a console that is surely of the home",
        ) from None


def _agree(mine: Server, other: Server) -> bool:
    """Whether both name the same home under the same epoch: one of them is fenced already."""
    return mine.home is not None and other.home is not None and (mine.epoch, mine.home.site) == (other.epoch, other.home.site)
