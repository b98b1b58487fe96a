-- What a home has, whether it was made so or promoted; saying it again changes nothing.
-- A statement that fails must not leave its password in the log.
SET log_min_error_statement = panic;
\set console `cat "$SECRETS/console"`
\set replication `cat "$SECRETS/replication"`
SELECT 'CREATE ROLE fleet LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'fleet') \gexec
SELECT 'CREATE ROLE replication LOGIN REPLICATION' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'replication') \gexec
ALTER ROLE fleet PASSWORD :'console';
ALTER ROLE replication PASSWORD :'replication';
SELECT 'CREATE DATABASE fleet OWNER fleet' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'fleet') \gexec
-- `lorafleet standby` looks and promotes as the role of the console.
GRANT pg_monitor TO fleet;
SELECT pg_create_physical_replication_slot('standby')
WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = 'standby');
\connect fleet
GRANT EXECUTE ON FUNCTION pg_promote(boolean, integer) TO fleet;
