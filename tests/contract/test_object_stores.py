import logging
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from lorafleet.console.objects.errors import StoreError, StoreUnreachable
from lorafleet.console.objects.folder import INCOMING, FolderStore
from lorafleet.console.objects.http_folder import HttpFolderStore
from lorafleet.console.objects.store import Store
from lorafleet.contracts.jobs import Method
from lorafleet.contracts.problems import ConfigError
from tests.contract.object_store_suite import KEY, ObjectStoreContract, put

_HOUR = timedelta(hours=1)
_SERVE = (
    "import sys; from pathlib import Path; from lorafleet.console.objects.folder_server import serve_folder; "
    "serve_folder(Path(sys.argv[1]), 0, Path(sys.argv[2]), ready=lambda url: print(url, flush=True))"
)


@dataclass(frozen=True)
class Served:
    root: Path
    url: str
    secret: bytes


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    secret_file = folder / "secret"
    secret_file.touch(mode=0o600)
    secret_file.write_text(secrets.token_hex(32))
    command = [sys.executable, "-c", _SERVE, str(folder / "root"), str(secret_file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield Served(folder / "root", process.stdout.readline().strip(), secret_file.read_bytes())
        process.kill()


class TestFolder(ObjectStoreContract):
    grants_are_http = False
    grants_bind_content = False

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return FolderStore("home", tmp_path / "a store")

    def test_a_grant_names_the_file(self, store: Store, tmp_path: Path) -> None:
        put(store, KEY, b"x")
        assert store.grant(KEY, Method.GET, lifetime=_HOUR).url.get_secret_value() == (tmp_path / "a store" / KEY).as_uri()

    def test_links_lead_nowhere(self, store: Store, tmp_path: Path) -> None:
        root, outside = tmp_path / "a store", tmp_path / "outside"
        outside.mkdir()
        (outside / "secret").write_text("secret")
        (root / "jobs").mkdir()
        (root / "jobs" / "link").symlink_to(outside / "secret")
        (root / "jobs" / "folder").symlink_to(outside)
        os.mkfifo(root / "jobs" / "pipe")
        for key in ("jobs/link", "jobs/folder/secret", "jobs/pipe"):
            assert store.head(key) is None
            assert store.digest(key) is None
        assert list(store.list("")) == []
        assert list(store.list("jobs/folder/")) == []
        put(store, "jobs/link", b"mine")
        assert (outside / "secret").read_text() == "secret"
        assert store.read_bytes("jobs/link", 10) == b"mine"
        with pytest.raises(StoreError):
            put(store, "jobs/folder/new", b"x")
        assert [path.name for path in outside.iterdir()] == ["secret"]

    def test_an_object_is_no_folder(self, store: Store) -> None:
        put(store, "jobs/a/x", b"1")
        for key in ("jobs/a", "jobs/a/x/y"):
            with pytest.raises(StoreError, match="in the way"):
                put(store, key, b"2")
        store.delete("jobs/a")
        assert store.read_bytes("jobs/a/x", 1) == b"1"

    def test_its_own_folder_is_no_key(self, store: Store) -> None:
        with pytest.raises(ConfigError, match="own"):
            put(store, f"{INCOMING}/x", b"x")

    def test_nothing_is_left_half_done(self, store: Store, tmp_path: Path) -> None:
        put(store, KEY, b"x")
        assert store.create(KEY, b"y") is False
        assert list((tmp_path / "a store" / INCOMING).iterdir()) == []

    def test_a_folder_that_went_away_is_unreachable_not_empty(self, store: Store, tmp_path: Path) -> None:
        put(store, KEY, b"x")
        (tmp_path / "a store").rename(tmp_path / "elsewhere")
        for ask in (
            store.probe,
            lambda: store.head(KEY),
            lambda: list(store.list("")),
            lambda: put(store, KEY, b"y"),
            lambda: store.delete(KEY),
        ):
            with pytest.raises(StoreUnreachable):
                ask()
        assert not (tmp_path / "a store").exists()


class TestServedFolder(ObjectStoreContract):
    @pytest.fixture
    def store(self, served: Served) -> Iterator[Store]:
        store = HttpFolderStore("home", served.url, served.secret)
        yield store
        for facts in list(store.list("")):
            store.delete(facts.key)

    def test_another_secret_opens_nothing(self, store: Store, served: Served) -> None:
        put(store, KEY, b"x")
        stranger = HttpFolderStore("home", served.url, b"another secret of 32 bytes or more")
        with pytest.raises(StoreError, match="same secret"):
            stranger.head(KEY)
        with pytest.raises(StoreError, match="same secret"):
            list(stranger.list(""))
        with pytest.raises(StoreError, match="same secret"):
            stranger.delete(KEY)
        assert store.read_bytes(KEY, 10) == b"x"

    def test_an_expired_url_is_refused(self, store: Store, served: Served) -> None:
        put(store, KEY, b"x")
        late = HttpFolderStore("home", served.url, served.secret, clock=lambda: 1_000_000.0)
        with pytest.raises(StoreError, match="clock"):
            late.read_bytes(KEY, 10)

    def test_downloads_run_nowhere(self, store: Store) -> None:
        put(store, KEY, b"<script>")
        answer = httpx.get(store.grant(KEY, Method.GET, lifetime=_HOUR).url.get_secret_value(), trust_env=False)
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"] == "attachment"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in answer.headers["content-security-policy"]

    def test_urls_are_in_no_log(self, store: Store, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG):
            put(store, KEY, b"x")
            store.read_bytes(KEY, 1)
        assert "signature=" not in caplog.text

    def test_nobody_listens(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            store = HttpFolderStore("home", f"http://127.0.0.1:{probe.getsockname()[1]}", b"s" * 32)
            with pytest.raises(StoreUnreachable, match="nobody listens"):
                store.head(KEY)
            with pytest.raises(StoreUnreachable):
                store.probe()

    def test_plain_http_goes_to_this_machine_only(self) -> None:
        with pytest.raises(ConfigError, match="https"):
            HttpFolderStore("home", "http://store.example.com", b"s" * 32)
