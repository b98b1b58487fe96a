"""Running the console's process: socket, signals, and telling where it is."""

import contextlib
import json
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

import typer
import uvicorn
from fastapi import FastAPI

from lorafleet.console.api.services import Services
from lorafleet.console.api.sessions import LOGIN
from lorafleet.console.app import create_app
from lorafleet.console.embedded import SiteOption, admin_token_file, furnish, open_stores
from lorafleet.console.settings import Auth, Settings, write_private
from lorafleet.console.standby.peer import PeerSilent, settle
from lorafleet.console.store.ledger import open_ledger
from lorafleet.contracts.problems import StorageError

_GRACEFUL_SECONDS = 10


@dataclass(frozen=True)
class Addresses:
    """Where a console is, and how workers join. ``page`` opens a session once, if it holds a token."""

    url: str
    page: str
    api: str
    release: str
    token_file: str
    credential_files: dict[str, str]

    def as_json(self) -> str:
        """For programs."""
        return json.dumps(self.__dict__, indent=2)

    def lines(self) -> Iterator[str]:
        """For people."""
        yield f"console: {self.page}"
        yield f"from the command line: export LORAFLEET_CONSOLE={self.url} LORAFLEET_TOKEN_FILE={self.token_file}"
        for site, path in self.credential_files.items():
            yield (
                f"a worker of site {site} joins by: lorafleet worker --console {self.url} --site {site}"
                f" --credential-file {path} --release {self.release}"
            )


class ConsoleServer(uvicorn.Server):
    """Lets long polls and event streams go as soon as a signal arrives, and says when the console answers."""

    def __init__(self, app: FastAPI, ready: Callable[[], None]) -> None:
        # Addresses may hold signatures, so that no access log is kept.
        config = uvicorn.Config(
            app,
            access_log=False,
            log_level="warning",
            timeout_graceful_shutdown=_GRACEFUL_SECONDS,
            server_header=False,
            proxy_headers=False,
        )
        super().__init__(config)
        self._services: Services = app.state.services
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn."""
        await super().startup(sockets)
        if self.started and not self.should_exit:
            self._ready()

    async def on_tick(self, counter: int) -> bool:
        """See uvicorn. A console that the home's epoch has fenced ends by itself."""
        if self._services.ledger.moved is not None:
            self._services.stop()
            return True
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """See uvicorn."""
        self._services.stop()
        super().handle_exit(sig, frame)


def run(
    directory: Path,
    settings: Settings,
    sites: Sequence[SiteOption],
    release: str,
    listener: socket.socket,
    ready_file: Path | None,
    as_json: bool,
) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Raises:
        HomeMoved: another site has become the home meanwhile.
        LorafleetError: the database, a store or the directory cannot be used.
    """
    reassure = partial(_ask_the_other_site, settings)
    # Before anything is written here.
    reassure()
    store_set = open_stores(directory, sites, settings.public_url, settings.secret)
    opened = open_ledger(settings.database_url, site=settings.site_home, reassure=reassure)
    with contextlib.closing(opened) as ledger, contextlib.closing(store_set.stores):
        files = furnish(directory, ledger, sites, release)
        app = create_app(settings, ledger, store_set.stores, mounts=store_set.mounts)
        services: Services = app.state.services
        token = services.logins.make() if settings.auth is Auth.TOKEN else None
        url = settings.public_url.rstrip("/")
        addresses = Addresses(
            url=url,
            page=f"{url}{LOGIN}/once?token={token}" if token else f"{url}/",
            api=f"{url}/api/v1",
            release=release,
            token_file=str(admin_token_file(directory, ledger, settings.team).absolute()),
            credential_files={name: str(path) for name, path in files.items()},
        )

        def tell() -> None:
            if ready_file is not None:
                _write(ready_file, addresses.as_json())
            for line in [addresses.as_json()] if as_json else addresses.lines():
                typer.echo(line)

        server = ConsoleServer(app, tell)
        # uvicorn raises the signal that ended it once more; by then it has done its work, and the ledger is still to be closed.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        server.run(sockets=[listener])
        if ledger.moved is not None:
            raise ledger.moved


def _ask_the_other_site(settings: Settings) -> None:
    """Fence whichever home the other was promoted over. Raises PeerSilent where that cannot be told."""
    if settings.peer_database is None:
        return
    try:
        settle(settings.database_url, settings.peer_database)
    except PeerSilent:
        if not settings.alone:
            raise


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, text + "\n")
    except OSError as error:
        raise StorageError(f"cannot write: {error.strerror}", where=str(path)) from None
