"""A real console for the API's tests: uvicorn on a free port, SQLite in a file, two folders as stores."""

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from lorafleet.console.app import create_app
from lorafleet.console.embedded import SiteOption, embedded_settings, furnish, open_stores
from lorafleet.console.listening import listen
from lorafleet.console.server import ConsoleServer
from lorafleet.console.settings import Settings
from lorafleet.console.store.ledger import open_ledger
from tests.unit.console.api.running_console import RELEASE, HttpWorker, RunningConsole, StartConsole, new_dataset, quick_client

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def start_console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartConsole]:
    stops: list[Callable[[], None]] = []

    def start(
        sites: tuple[str, ...] = ("local",), site_facts: Any = None, beside: RunningConsole | None = None, **changes: Any
    ) -> RunningConsole:
        directory = tmp_path_factory.mktemp("console") if beside is None else beside.directory
        listening = listen("127.0.0.1", 0)
        listener = listening.__enter__()
        settings: Settings = replace(
            embedded_settings(directory, "127.0.0.1", listener.getsockname()[1], None),
            poll_seconds=0.1,
            sites=site_facts or {},
            **changes,
        )
        ledger = open_ledger(settings.database_url)
        options = [SiteOption(name) for name in sites]
        store_set = open_stores(directory, options, settings.public_url, settings.secret)
        furnish(directory, ledger, options, RELEASE)
        app = create_app(settings, ledger, store_set.stores, mounts=store_set.mounts)
        ready = threading.Event()
        server = ConsoleServer(app, ready.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        assert ready.wait(10)
        console = RunningConsole(settings.public_url, app.state.services, directory, quick_client())
        console.admin = console.client()

        def stop() -> None:
            for client in console.others:
                client.close()
            app.state.services.stop()
            server.should_exit = True
            thread.join(10)
            listening.__exit__(None, None, None)
            with closing(ledger), closing(store_set.stores):
                pass

        stops.append(stop)
        return console

    yield start
    for stop in stops:
        stop()


@pytest.fixture(scope="module")
def console(start_console: StartConsole) -> RunningConsole:
    return start_console()


@pytest.fixture
def worker(console: RunningConsole) -> Iterator[Callable[..., HttpWorker]]:
    made: list[HttpWorker] = []

    def make(**options: Any) -> HttpWorker:
        # One that asks again under its name gives back the lease that it never began.
        options.setdefault("name", f"worker-{next(_numbers)}")
        made.append(HttpWorker(options.pop("console", console), **options))
        return made[-1]

    yield make
    for each in made:
        each.http.close()


@pytest.fixture(scope="module")
def dataset(console: RunningConsole) -> str:
    return new_dataset(console.admin)[0]
