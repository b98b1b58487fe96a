"""The whole store over one database."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import text

from lorafleet.console.store import home
from lorafleet.console.store.access import SqlAccess
from lorafleet.console.store.database import Database, HomeMoved, Listener
from lorafleet.console.store.datasets import SqlDatasets
from lorafleet.console.store.dispatcher import SqlDispatcher
from lorafleet.console.store.drafts import SqlDrafts
from lorafleet.console.store.jobs import SqlJobs
from lorafleet.console.store.migrate import migrate
from lorafleet.console.store.releases import SqlReleases
from lorafleet.console.store.secrets import SqlSecrets
from lorafleet.console.store.upkeep import SqlUpkeep


class SqlLedger:
    """:class:`lorafleet.console.ports.Ledger` on SQLite or PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.datasets = SqlDatasets(database)
        self.drafts = SqlDrafts(database)
        self.jobs = SqlJobs(database)
        self.dispatcher = SqlDispatcher(database)
        self.releases = SqlReleases(database)
        self.access = SqlAccess(database)
        self.secrets = SqlSecrets(database)
        self.upkeep = SqlUpkeep(database)

    def now(self) -> datetime:
        """The database's clock where it has one, so that several consoles agree."""
        return self._database.now()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` with (job, kind) pairs after each commit of this process that wrote events; the answer ends it."""
        return self._database.listen(listener)

    @property
    def moved(self) -> HomeMoved | None:
        """Why this console must end: another site is the home."""
        return self._database.moved

    def ready(self) -> None:
        """Raises StorageError where the database does not answer."""
        with self._database.read() as transaction:
            transaction.execute(text("SELECT 1"))

    def close(self) -> None:
        """End all connections."""
        self._database.close()


def open_ledger(
    url: str,
    *,
    clock: Callable[[], datetime] | None = None,
    site: str | None = None,
    reassure: Callable[[], None] | None = None,
) -> SqlLedger:
    """Open a database, new or old, and bring its tables to this version.

    ``url`` is ``sqlite:///FILE``, ``sqlite://`` (in memory, gone at the end) or ``postgresql://USER@HOST/NAME``. ``clock`` takes the
    place of the database's, for tests. ``site`` is where this console runs, and ``reassure`` as in :meth:`.Database.hold`.

    Raises:
        ConfigError: the address is none of these, or another site is the database's home.
        StorageError: the database does not answer, is newer than this version, or is another process's (SQLite).
    """
    database = Database(url, clock)
    try:
        migrate(database)
        database.hold(home.enter(database, site), reassure)
    except BaseException:
        database.close()
        raise
    return SqlLedger(database)
