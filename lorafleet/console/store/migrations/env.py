"""Alembic runs this for each command."""

from alembic import context

from lorafleet.console.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=False)
context.run_migrations()
