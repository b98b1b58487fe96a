import hashlib
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from lorafleet.console.objects.errors import StoreUnreachable
from lorafleet.console.objects.folder import INCOMING
from lorafleet.console.objects.folder_server import serve_folder
from lorafleet.console.objects.http_folder import HttpFolderStore
from lorafleet.console.objects.secret_files import load_secret
from lorafleet.contracts.jobs import Method
from lorafleet.contracts.problems import ConfigError, UnavailableError, UsageError

_COMMAND = "import typer; from lorafleet.console.store_command import store; typer.run(store)"
KEY = "jobs/a/output/1/style.safetensors"
DATA = secrets.token_bytes(6 << 20)


@dataclass(frozen=True)
class Server:
    process: subprocess.Popen[str]
    store: HttpFolderStore
    folder: Path

    @property
    def port(self) -> int:
        return urlsplit(self.store.grant(KEY, Method.GET, lifetime=timedelta(1)).url.get_secret_value()).port or 0

    def half_a_put(self) -> socket.socket:
        """A connection that has sent half of the announced bytes."""
        grant = self.store.grant(KEY, Method.PUT, lifetime=timedelta(1), size=len(DATA), sha256=hashlib.sha256(DATA).hexdigest())
        parts = urlsplit(grant.url.get_secret_value())
        connection = socket.create_connection(("127.0.0.1", self.port))
        connection.sendall(f"PUT {parts.path}?{parts.query} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(DATA)}\r\n\r\n".encode())
        connection.sendall(DATA[: len(DATA) // 2])
        wait_until(lambda: any(path.stat().st_size for path in (self.folder / INCOMING).iterdir()))
        return connection


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Server]]:
    processes = []

    def start() -> Server:
        folder = tmp_path / "folder"
        process = subprocess.Popen([sys.executable, "-c", _COMMAND, str(folder)], stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        return Server(process, HttpFolderStore("home", url, load_secret(tmp_path / "folder.secret")), folder)

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_the_command_serves_until_it_is_told_to_stop(start: Callable[[], Server]) -> None:
    server = start()
    server.store.probe()
    server.store.write(KEY, DATA, hashlib.sha256(DATA).hexdigest())
    assert (server.folder / KEY).read_bytes() == DATA
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(20)
    with pytest.raises(StoreUnreachable):
        server.store.probe()
    again = start()
    assert again.store.digest(KEY) == hashlib.sha256(DATA).hexdigest()


def test_a_server_killed_in_a_put_shows_nothing_of_it(start: Callable[[], Server]) -> None:
    server = start()
    with server.half_a_put():
        server.process.kill()
        server.process.wait(20)
    again = start()
    assert again.store.head(KEY) is None
    assert list(again.store.list("")) == []
    again.store.write(KEY, DATA, hashlib.sha256(DATA).hexdigest())
    assert again.store.digest(KEY) == hashlib.sha256(DATA).hexdigest()


def test_a_client_that_goes_away_in_a_put_leaves_nothing(start: Callable[[], Server]) -> None:
    server = start()
    server.half_a_put().close()
    wait_until(lambda: not list((server.folder / INCOMING).iterdir()))
    assert server.store.head(KEY) is None


def test_other_machines_are_let_in_only_when_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not loopback"):
        serve_folder(tmp_path / "folder", 0, tmp_path / "secret", "0.0.0.0")


def test_it_does_not_start_without_its_secret_or_port(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="secret"):
        serve_folder(tmp_path / "folder", 0, tmp_path / "secret")
    (tmp_path / "secret").touch(mode=0o600)
    (tmp_path / "secret").write_text("s" * 40)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UnavailableError, match="cannot listen"):
        serve_folder(tmp_path / "folder", taken.getsockname()[1], tmp_path / "secret")
