import errno
import hashlib
import os
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
from starlette.testclient import TestClient

from lorafleet.console.objects.errors import StoreUnreachable
from lorafleet.console.objects.folder import INCOMING, FolderStore
from lorafleet.console.objects.folder_server import folder_app, serve_folder
from lorafleet.console.objects.http_folder import HttpFolderStore
from lorafleet.console.objects.secret_files import load_secret
from lorafleet.console.objects.signing import Permit, signed_url
from lorafleet.console.objects.stores import Stores
from lorafleet.contracts.jobs import GrantedObject, Method, PublishedObject
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
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    processes = []

    def start(name: str = "folder") -> Server:
        folder = tmp_path / name
        process = subprocess.Popen([sys.executable, "-c", _COMMAND, str(folder)], stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        return Server(process, HttpFolderStore(name, url, load_secret(tmp_path / f"{name}.secret")), folder)

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_the_command_serves_until_it_is_told_to_stop(start: Callable[..., Server]) -> None:
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


def test_a_server_killed_in_a_put_shows_nothing_of_it(start: Callable[..., Server]) -> None:
    server = start()
    with server.half_a_put():
        server.process.kill()
        server.process.wait(20)
    again = start()
    assert again.store.head(KEY) is None
    assert list(again.store.list("")) == []
    again.store.write(KEY, DATA, hashlib.sha256(DATA).hexdigest())
    assert again.store.digest(KEY) == hashlib.sha256(DATA).hexdigest()


def test_a_client_that_goes_away_in_a_put_leaves_nothing(start: Callable[..., Server]) -> None:
    server = start()
    server.half_a_put().close()
    wait_until(lambda: not list((server.folder / INCOMING).iterdir()))
    assert server.store.head(KEY) is None


def test_a_site_whose_store_is_killed_costs_no_more_than_its_copies(start: Callable[..., Server], tmp_path: Path) -> None:
    sites = {name: start(name) for name in ("aws", "gcp", "backup")}
    stores = Stores({name: server.store for name, server in sites.items()}, "aws", "backup", patience=60)
    (tmp_path / "file").write_bytes(DATA)
    item = PublishedObject(key=KEY, size=len(DATA), sha256=hashlib.sha256(DATA).hexdigest())
    assert stores.write([(item, tmp_path / "file")], near="gcp") == ("gcp", "aws")
    sites["aws"].process.kill()
    sites["aws"].process.wait(20)
    assert stores.verify([item]) == ("gcp",)
    grants = stores.grants_to_write("gcp", [GrantedObject(**item.model_dump())], timedelta(minutes=1))
    assert [grant.store for grant in grants] == ["gcp", "backup"]
    assert stores.find(KEY, "aws").name == "gcp"
    assert stores.mirror([item], "gcp", "backup") == (item,)
    assert stores.verify([item]) == ("backup", "gcp")
    sites["gcp"].process.kill()
    sites["gcp"].process.wait(20)
    assert stores.verify([item]) == ("backup",)
    stores.close()


class FullDisk(FolderStore):
    """A folder on a disk that takes no more."""

    def settle(self, key: str, path: Path, only_if_absent: bool) -> bool:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    secret, data = b"s" * 32, b"weights"
    client = TestClient(folder_app(FullDisk("home", tmp_path / "folder"), secret))
    permit = Permit("PUT", KEY, 1 << 39, len(data), hashlib.sha256(data).hexdigest())
    answer = client.put(signed_url("", permit, secret), content=data)
    assert (answer.status_code, answer.text) == (507, f"home/{KEY}: the disk is full (free some space)\n")
    assert list((tmp_path / "folder" / INCOMING).iterdir()) == []


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
