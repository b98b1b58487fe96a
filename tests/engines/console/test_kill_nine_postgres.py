"""kill -9 at every fail point, with the state on PostgreSQL."""

from tests.unit.console.api.kill_nine import KillNine


class TestKillNineOnPostgres(KillNine):
    pass
