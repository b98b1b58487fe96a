from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from protocol_server import ProtocolServer
from worker_bed import WAVES, RunningWorker


@pytest.fixture
def console() -> Iterator[ProtocolServer]:
    server = ProtocolServer()
    server.dataset({"waves.json": WAVES.encode()})
    yield server
    server.close()


@pytest.fixture
def start_worker(console: ProtocolServer, tmp_path: Path) -> Iterator[Callable[..., RunningWorker]]:
    """Starts workers whose models are ``tmp_path/models``, and kills what is left of them."""
    started: list[RunningWorker] = []
    models = tmp_path / "models"
    models.mkdir()
    (models / "waves.json").write_text(WAVES)

    def start(name: str, *options: str, **more: Any) -> RunningWorker:
        worker = RunningWorker(console.url, tmp_path / name, name, f"--models={models}", *options, **more)
        started.append(worker)
        return worker

    yield start
    for worker in started:
        worker.close()
