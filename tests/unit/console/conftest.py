from console_databases import (
    clock,
    database_url,
    ledger,
    migrated_database,
    migrated_file,
    new_database_url,
    postgres_server,
    postgres_url,
)

__all__ = [
    "clock",
    "database_url",
    "ledger",
    "migrated_database",
    "migrated_file",
    "new_database_url",
    "postgres_server",
    "postgres_url",
]
