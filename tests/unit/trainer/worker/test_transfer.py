"""Transfers to and from a folder and a store on a real socket."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from loopback_server import LoopbackServer

from lorafleet.contracts.jobs import Method, ObjectGrant, PublishedObject
from lorafleet.contracts.problems import StorageError
from trainer.worker.transfer import Abandoned, TransferFailed, get, put

CONTENT = b"weights" * 400_000


class Store(LoopbackServer):
    """Objects by path; ``answer`` overrides the status of what is asked for."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.headers: dict[str, str] = {}
        self.answer = 0
        store = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                content = store.objects.get(self.path, b"")
                self.send_response(store.answer or 200)
                self.send_header("Location", "http://127.0.0.1:1/")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def do_PUT(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                if not store.answer:
                    store.objects[self.path] = content
                    store.headers = dict(self.headers)
                self.send_response(store.answer or 200)
                self.send_header("Location", "http://127.0.0.1:1/")
                self.send_header("Content-Length", "0")
                self.end_headers()

        super().__init__(Handler)


@pytest.fixture
def store() -> Iterator[Store]:
    with Store() as store:
        yield store


@pytest.fixture(params=["folder", "http"])
def place(request: pytest.FixtureRequest, store: Store, tmp_path: Path) -> tuple[str, Any]:
    """A URL and what reads the object that lies there."""
    if request.param == "folder":
        target = tmp_path / "store 1" / "a b" / "x.bin"
        return target.as_uri(), lambda: target.read_bytes()
    return f"{store.url}/a/x.bin?sig=s3cr3t", lambda: store.objects["/a/x.bin?sig=s3cr3t"]


def grant(url: str, method: Method) -> ObjectGrant:
    headers = {"x-amz-checksum-sha256": "abc"} if method is Method.PUT else {}
    return ObjectGrant(key="a/x.bin", method=method, store="near", url=url, headers=headers, expires_at=datetime.now(UTC))


def described(content: bytes) -> PublishedObject:
    return PublishedObject(key="a/x.bin", size=len(content), sha256=hashlib.sha256(content).hexdigest())


def go_on() -> None:
    pass


@pytest.mark.parametrize("content", [CONTENT, b""], ids=["large", "empty"])
def test_there_and_back(place: tuple[str, Any], tmp_path: Path, content: bytes) -> None:
    url, stored = place
    source, target = tmp_path / "source", tmp_path / "deep" / "target"
    source.write_bytes(content)
    put(grant(url, Method.PUT), source, len(content), go_on)
    assert stored() == content
    put(grant(url, Method.PUT), source, len(content), go_on)
    get(grant(url, Method.GET), described(content), target, go_on)
    assert target.read_bytes() == content
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("wanted", [described(b"others!"), described(b"short")], ids=["other bytes", "other size"])
def test_damaged_bytes_never_become_a_file(place: tuple[str, Any], tmp_path: Path, wanted: PublishedObject) -> None:
    url, _ = place
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"damaged")
    put(grant(url, Method.PUT), source, 7, go_on)
    with pytest.raises(TransferFailed, match="damaged") as caught:
        get(grant(url, Method.GET), wanted, target, go_on)
    assert "s3cr3t" not in str(caught.value)
    assert not target.exists()
    assert not list(tmp_path.glob(".*"))


def test_what_is_abandoned_leaves_nothing(place: tuple[str, Any], tmp_path: Path) -> None:
    url, stored = place
    source = tmp_path / "source"
    source.write_bytes(CONTENT)

    def stop() -> None:
        raise Abandoned

    with pytest.raises(Abandoned):
        put(grant(url, Method.PUT), source, len(CONTENT), stop)
    with pytest.raises((KeyError, FileNotFoundError)):
        stored()
    with pytest.raises(Abandoned):
        put(grant(url, Method.PUT), tmp_path / "pruned", 1, go_on)


def test_the_grants_headers_are_sent_and_no_others(store: Store, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x")
    put(grant(f"{store.url}/x", Method.PUT), tmp_path / "source", 1, go_on)
    assert store.headers["x-amz-checksum-sha256"] == "abc"
    assert "Authorization" not in store.headers
    assert "Transfer-Encoding" not in store.headers


@pytest.mark.parametrize("status", [307, 403, 500, 507])
def test_refusals_name_the_store_and_never_follow_a_redirect(store: Store, tmp_path: Path, status: int) -> None:
    url = f"{store.url}/x?sig=s3cr3t"
    (tmp_path / "source").write_bytes(b"x")
    store.answer = status
    for move in (
        lambda: put(grant(url, Method.PUT), tmp_path / "source", 1, go_on),
        lambda: get(grant(url, Method.GET), described(b"x"), tmp_path / "target", go_on),
    ):
        with pytest.raises(TransferFailed, match=rf"near: .*{status}") as caught:
            move()
        assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("status", [409, 412])
def test_an_object_that_is_there_already_is_as_good(store: Store, tmp_path: Path, status: int) -> None:
    (tmp_path / "source").write_bytes(b"x")
    store.answer = status
    put(grant(f"{store.url}/x", Method.PUT), tmp_path / "source", 1, go_on)


def test_a_dead_store_and_a_local_disk_that_refuses(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x")
    with pytest.raises(TransferFailed, match="the connection failed"):
        put(grant("http://127.0.0.1:1/x?sig=s3cr3t", Method.PUT), tmp_path / "source", 1, go_on)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="the disk refused"):
        get(grant((tmp_path / "source").as_uri(), Method.GET), described(b"x"), tmp_path / "file" / "target", go_on)
