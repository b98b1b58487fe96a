"""The console's state in SQL: SQLite on one machine, PostgreSQL for several consoles."""
