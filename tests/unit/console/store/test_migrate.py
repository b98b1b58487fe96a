"""The migrations make exactly the tables that the code uses, and refuse what they do not know."""

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, create_engine, inspect, text

from lorafleet.console.store.ledger import open_ledger
from lorafleet.console.store.migrate import configuration, upgrade
from lorafleet.console.store.schema import metadata
from lorafleet.contracts.problems import StorageError


def _engine(url: str) -> Engine:
    return create_engine(url.replace("postgresql://", "postgresql+psycopg://"))


def test_migrated_tables_are_those_of_the_schema(new_database_url: str) -> None:
    open_ledger(new_database_url).close()
    with _engine(new_database_url).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    connection.engine.dispose()


def test_down_and_up_again(new_database_url: str) -> None:
    open_ledger(new_database_url).close()
    engine = _engine(new_database_url)
    with engine.begin() as connection:
        command.downgrade(configuration(connection), "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]
        upgrade(connection)
        assert set(metadata.tables) < set(inspect(connection).get_table_names())
    engine.dispose()


def test_a_database_of_a_newer_version_is_refused(new_database_url: str) -> None:
    open_ledger(new_database_url).close()
    engine = _engine(new_database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(StorageError, match="version 9999"):
        open_ledger(new_database_url)
