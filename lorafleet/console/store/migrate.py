"""Bringing the tables to this version with Alembic. A migration only adds until no console of the version before runs any more."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, text

from lorafleet.console.store.database import Database
from lorafleet.contracts.problems import StorageError

SCRIPTS = Path(__file__).parent / "migrations"

_LOCK = 7_233_116_054


def migrate(database: Database) -> None:
    """Migrate to the newest version; several consoles that start at once take turns.

    Raises:
        StorageError: the database was made by a newer version.
    """
    with database.write() as transaction:
        if transaction.postgres:
            transaction.execute(text("SELECT pg_advisory_xact_lock(:key)").bindparams(key=_LOCK))
        upgrade(transaction.connection)


def upgrade(connection: Connection, to: str = "head") -> None:
    """Run the migrations that are lacking, in the connection's transaction."""
    config = configuration(connection)
    found = MigrationContext.configure(connection).get_current_revision()
    if found == ScriptDirectory.from_config(config).get_current_head():
        return
    try:
        command.upgrade(config, to)
    except CommandError:
        raise StorageError(
            f"the database has version {found}, which this lorafleet does not know", hint="install a newer one"
        ) from None


def configuration(connection: Connection) -> Config:
    """Alembic's settings, for one connection."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.attributes["connection"] = connection
    return config
