import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lorafleet.contracts.problems import ConfigError, LorafleetError, NoInputError, Preempted, StorageError
from tests.contract.storage_suite import Watch, put, sha256, write
from tests.engines.conftest import S3Server, free_port
from tests.engines.tcp_proxy import Fault, TcpProxy
from trainer.storage.connect import Patience
from trainer.storage.errors import StoreError
from trainer.storage.fetch import fetch
from trainer.storage.locations import Location, parse_location
from trainer.storage.publish import Publisher
from trainer.storage.store import open_store

IMPATIENT = Patience(connect=2, silence=1, retries=1, retry_for=3)
SIZE = 3 << 20


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def publisher(remote: Location, proxy: TcpProxy, tmp_path: Path, warnings: list[str]) -> Iterator[Publisher]:
    publisher = Publisher(tmp_path / "out", remote, warn=warnings.append, patience=IMPATIENT, first_wait=0.2)
    yield publisher
    publisher.close()


def direct(remote: Location, server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")


# Wrong places and keys: one line that names the URL and the cause, soon, without a secret.


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ("secret", "the credentials are wrong"),
        ("key", "the credentials are wrong"),
        ("none", "no credentials were found"),
        ("bucket", "no such bucket"),
        ("endpoint", "the endpoint cannot be reached"),
        ("name", "the endpoint cannot be reached"),
        ("silent", "fell silent"),
    ],
)
@pytest.mark.parametrize("way", ["fetch", "publish"])
def test_each_cause_is_one_line(
    broken: str, says: str, way: str, remote: Location, proxy: TcpProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, key = os.environ["AWS_SECRET_ACCESS_KEY"], os.environ["AWS_ACCESS_KEY_ID"]
    match broken:
        case "secret":
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
        case "key":
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", "wrong-key")
        case "none":
            monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
            monkeypatch.delenv("AWS_ACCESS_KEY_ID")
            monkeypatch.setenv("AWS_METADATA_ENDPOINT", f"http://127.0.0.1:{free_port()}")
        case "bucket":
            remote = Location("s3", "no-such-bucket", "a")
        case "endpoint":
            proxy.refuse()
        case "name":
            monkeypatch.setenv("AWS_ENDPOINT_URL", "https://no-such-host.invalid")
        case "silent":
            proxy.faults.extend([Fault("stall", "down", 0)] * 9)
    started = time.monotonic()
    with pytest.raises(LorafleetError, match=says) as caught:
        if way == "fetch":
            fetch(remote, tmp_path / "in", Watch(), IMPATIENT)
        else:
            Publisher(tmp_path, remote, warn=pytest.fail, patience=IMPATIENT).prove()
    line = str(caught.value)
    assert "\n" not in line
    assert str(remote) in line
    for hidden in (secret, key, "wrong-secret", "wrong-key", "Signature", "<"):
        assert hidden not in line
    assert time.monotonic() - started < 12
    if broken == "endpoint":
        proxy.accept()


def test_nothing_at_the_url(remote: Location, tmp_path: Path) -> None:
    with pytest.raises(NoInputError, match="there is nothing at this place") as caught:
        fetch(remote, tmp_path / "in", Watch())
    assert str(remote) in str(caught.value)


def test_plain_http_to_another_machine_is_refused(remote: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store.example:9000")
    with pytest.raises(ConfigError, match="plain http on another machine"):
        open_store(remote)


# Fetching.


def test_one_object_and_a_folder_are_fetched(remote: Location, tmp_path: Path) -> None:
    put(open_store(remote), "base/model.safetensors", b"weights", tmp_path)
    put(open_store(remote), "base/config.json", b"{}", tmp_path)
    single = parse_location(f"{remote}/base/model.safetensors")
    assert fetch(single, tmp_path / "one", Watch()) == tmp_path / "one" / "model.safetensors"
    assert (tmp_path / "one" / "model.safetensors").read_bytes() == b"weights"
    assert fetch(remote.child("base"), tmp_path / "all", Watch()) == tmp_path / "all"
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["config.json", "model.safetensors"]
    assert fetch(parse_location(str(tmp_path)), tmp_path / "never", Watch()) == tmp_path


def test_a_download_that_breaks_off_goes_on(remote: Location, proxy: TcpProxy, tmp_path: Path) -> None:
    data = os.urandom(8 * SIZE)
    put(open_store(remote), "large", data, tmp_path)
    proxy.faults.extend([Fault("drop", "down", 4 * SIZE)])
    assert fetch(remote, tmp_path / "in", Watch(), IMPATIENT) == tmp_path / "in"
    assert (tmp_path / "in" / "large").read_bytes() == data
    assert len(proxy.met) == 1
    assert proxy.moved["down"] < 1.3 * len(data)


def test_a_slow_line_is_no_silence(remote: Location, proxy: TcpProxy, tmp_path: Path) -> None:
    data = os.urandom(SIZE)
    put(open_store(remote), "large", data, tmp_path)
    proxy.bytes_a_second = SIZE // 2
    started = time.monotonic()
    fetch(remote, tmp_path / "in", Watch(), IMPATIENT)
    assert time.monotonic() - started > 1.5 * IMPATIENT.silence
    assert (tmp_path / "in" / "large").read_bytes() == data


def test_stopping_does_not_wait_for_a_silent_server(remote: Location, proxy: TcpProxy, tmp_path: Path) -> None:
    put(open_store(remote), "large", os.urandom(SIZE), tmp_path)
    proxy.faults.append(Fault("stall", "down", SIZE // 2))
    stop = threading.Event()
    threading.Timer(1.0, stop.set).start()
    started = time.monotonic()
    with pytest.raises(Preempted):
        fetch(remote, tmp_path / "in", Watch(stop), Patience(silence=60))
    assert len(proxy.met) == 1
    assert time.monotonic() - started < 5
    assert not (tmp_path / "in" / "large").exists()


@pytest.mark.parametrize("where", ["in the store", "on the way"])
def test_damaged_bytes_are_found(where: str, remote: Location, s3_server: S3Server, proxy: TcpProxy, tmp_path: Path) -> None:
    store = open_store(remote)
    digest = put(store, "weights", os.urandom(SIZE), tmp_path)
    if where == "in the store":
        path = s3_server.root / remote.bucket / remote.key / "weights"
        with path.open("r+b") as file:
            file.seek(SIZE // 2)
            file.write(b"damage")
    else:
        proxy.faults.extend([Fault("flip", "down", SIZE // 2)] * 9)
    with pytest.raises(StoreError, match="do not match their checksum"):
        store.verify("weights", digest)
    with pytest.raises(StoreError, match="do not match their checksum"):
        fetch(remote, tmp_path / "in", Watch(), IMPATIENT)
    assert [path for path in (tmp_path / "in").rglob("*") if path.is_file()] == []


def test_a_full_disk_is_told_before_anything_is_fetched(remote: Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(open_store(remote), "large", os.urandom(SIZE), tmp_path)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=SIZE))
    with pytest.raises(StorageError, match="the disk has 3 MiB free, what is fetched needs 3 MiB"):
        fetch(remote, tmp_path / "in", Watch())


# Publishing.


def test_an_upload_that_breaks_off_is_invisible_and_repeated(
    publisher: Publisher, remote: Location, s3_server: S3Server, proxy: TcpProxy, tmp_path: Path,
    warnings: list[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    direct(remote, s3_server, monkeypatch)
    store, data = open_store(remote), os.urandom(SIZE)
    proxy.faults.extend([Fault("drop", "up", SIZE // 2)] * 4)
    publisher.publish(write(tmp_path / "out" / "weights", data))
    seen = set()
    while publisher.status.waiting:
        seen.add(len(store.read("weights")) if store.head("weights") else 0)
    assert seen <= {0, SIZE}
    assert sha256(store.read("weights")) == sha256(data)
    assert len(proxy.met) == 4
    assert len(warnings) == 1
    assert "weights is not published yet" in warnings[0]


def test_bytes_that_flip_on_the_way_up_are_refused_and_sent_again(
    publisher: Publisher, remote: Location, proxy: TcpProxy, tmp_path: Path, warnings: list[str]
) -> None:
    data = os.urandom(SIZE)
    proxy.faults.append(Fault("flip", "up", SIZE // 2))
    publisher.publish(write(tmp_path / "out" / "weights", data))
    assert publisher.flush(20) == []
    assert open_store(remote).read("weights") == data
    assert len(proxy.met) == 1
    assert "damaged on the way" in warnings[0]


def test_what_reads_back_differently_is_sent_again(
    publisher: Publisher, remote: Location, proxy: TcpProxy, tmp_path: Path, warnings: list[str]
) -> None:
    data = os.urandom(SIZE)
    proxy.faults.append(Fault("flip", "down", SIZE // 2))
    publisher.publish(write(tmp_path / "out" / "weights", data))
    assert publisher.flush(20) == []
    assert open_store(remote).read("weights") == data
    assert len(proxy.met) == 1
    assert "do not match their checksum" in warnings[0]


def test_an_outage_costs_training_nothing_and_loses_nothing(
    publisher: Publisher, remote: Location, proxy: TcpProxy, tmp_path: Path, warnings: list[str]
) -> None:
    out = tmp_path / "out"
    proxy.refuse()
    started = time.monotonic()
    for number in range(3):
        write(out / f"step-{number}" / "a", b"a")
        write(out / f"step-{number}" / "MANIFEST.json", b"m")
        publisher.publish_directory(out / f"step-{number}")
    publisher.publish(write(out / "weights", b"weights"))
    assert time.monotonic() - started < 0.5
    assert publisher.flush(1.0) == ["step-0", "step-1", "step-2", "weights"]
    # Meanwhile the oldest is pruned on the local disk.
    shutil.rmtree(out / "step-0")
    publisher.retire(out / "step-0")
    with pytest.raises(StorageError, match="the endpoint cannot be reached") as caught:
        publisher.flush_or_fail(1.0)
    assert [problem.where for problem in caught.value.problems] == ["step-1", "step-2", "weights"]
    assert "the files are kept in" in str(caught.value)
    assert len(warnings) == 1
    proxy.accept()
    publisher.flush_or_fail(30)
    assert [facts.name for facts in open_store(remote).list()] == [
        "step-1/MANIFEST.json", "step-1/a", "step-2/MANIFEST.json", "step-2/a", "weights"
    ]  # fmt: skip
    assert publisher.status.trouble == ""


def test_a_hopeless_store_does_not_hold_up_the_end(
    remote: Location, tmp_path: Path, warnings: list[str], s3_environment: S3Server
) -> None:
    publisher = Publisher(tmp_path, Location("s3", "no-such-bucket", ""), warn=warnings.append)
    publisher.publish(write(tmp_path / "weights", b"weights"))
    started = time.monotonic()
    with pytest.raises(StorageError, match="no such bucket"):
        publisher.flush_or_fail(60)
    assert time.monotonic() - started < 10
    publisher.close()


def test_being_told_to_stop_ends_the_last_wait(remote: Location, proxy: TcpProxy, tmp_path: Path, warnings: list[str]) -> None:
    stop = threading.Event()
    publisher = Publisher(tmp_path, remote, warn=warnings.append, check=Watch(stop).check, patience=IMPATIENT)
    proxy.refuse()
    publisher.publish(write(tmp_path / "weights", b"weights"))
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(Preempted):
        publisher.flush_or_fail(60)
    publisher.close()
    proxy.accept()
