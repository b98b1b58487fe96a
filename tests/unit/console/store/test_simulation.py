"""The simulation of the engine tests, smaller."""

from console_simulation import simulate


def test_a_thousand_jobs_on_a_failing_fleet() -> None:
    simulate("sqlite://", 1_000)
