"""The console that the client's tests speak to."""

from tests.unit.console.api.conftest import console, dataset, start_console, worker

__all__ = ["console", "dataset", "start_console", "worker"]
