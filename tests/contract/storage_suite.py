"""What every store must do. A test module subclasses :class:`StorageContract` and says where its store is."""

import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lorafleet.contracts.problems import ConfigError, Preempted
from trainer import checkpoint
from trainer.checkpoint import Position, State
from trainer.storage.errors import StoreError
from trainer.storage.fetch import Folder, files_of
from trainer.storage.locations import Location
from trainer.storage.publish import Publisher
from trainer.storage.resume import fetch_checkpoint, latest_checkpoint
from trainer.storage.store import ObjectFacts, ObjectStore, open_store

LARGE = 12 << 20


class Watch:
    """A control that records, and stops the work after a number of looks."""

    def __init__(self, stop_when: "threading.Event | None" = None) -> None:
        self.told: list[tuple[int, int]] = []
        self.warnings: list[str] = []
        self._stop_when = stop_when

    def check(self) -> None:
        if self._stop_when is not None and self._stop_when.is_set():
            raise Preempted("told to stop")

    def progress(self, what: str, done: int, total: int) -> None:
        self.told.append((done, total))

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def put(store: ObjectStore, name: str, data: bytes, tmp_path: Path) -> str:
    return store.put(name, write(tmp_path / "to-put", data))


def facts_of(store: ObjectStore, name: str) -> ObjectFacts:
    facts = store.head(name)
    assert facts is not None
    return facts


def bring(remote: Location, into: Path, control: Watch | None = None) -> None:
    store = open_store(remote)
    Folder(into).bring(store, files_of(store.list(), str(remote)), control or Watch())


def content(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def save_checkpoint(directory: Path, step: int) -> Path:
    state = State(Position(step, 0, step, 1), {"a": torch.full((64,), float(step))}, {}, {"m": torch.full((64,), -float(step))})
    return checkpoint.write(directory / "checkpoints", state)


class StorageContract:
    """The tests; ``remote`` is a fixture of the subclass: an empty folder in its store."""

    @pytest.fixture
    def store(self, remote: Location) -> ObjectStore:
        return open_store(remote)

    @pytest.fixture
    def publisher(self, remote: Location, tmp_path: Path) -> Iterator[Publisher]:
        publisher = Publisher(tmp_path / "out", remote, warn=pytest.fail)
        yield publisher
        publisher.close()

    @pytest.mark.parametrize("name", ["a.bin", "deep/er/a.bin", "a b#c%20d+é [1]&=~.png", "日本/画像.txt", "%2e%2e"])
    @pytest.mark.parametrize("size", [0, 5, LARGE])
    def test_what_is_put_is_listed_and_read_back(self, store: ObjectStore, tmp_path: Path, name: str, size: int) -> None:
        data = os.urandom(size)
        assert put(store, name, data, tmp_path) == sha256(data)
        (facts,) = store.list()
        assert (facts.name, facts.size) == (name, size)
        assert store.head(name) == facts
        assert store.read(name) == data
        assert store.get(facts, tmp_path / "in" / "file", tmp_path / "parts") == sha256(data)
        assert (tmp_path / "in" / "file").read_bytes() == data
        assert list((tmp_path / "parts").iterdir()) == []
        store.verify(name, sha256(data))

    def test_listing_keeps_to_the_folder(self, store: ObjectStore, remote: Location, tmp_path: Path) -> None:
        for name in ("a/1", "a/b/2", "ab/3", "a.txt"):
            put(store, name, b"x", tmp_path)
        assert [facts.name for facts in store.list("a")] == ["a/1", "a/b/2"]
        assert [facts.name for facts in open_store(remote.child("a")).list()] == ["1", "b/2"]
        assert store.list("nowhere") == []

    def test_what_is_not_there_is_said_with_its_url(self, store: ObjectStore, remote: Location, tmp_path: Path) -> None:
        assert store.head("gone") is None
        store.delete("gone")
        with pytest.raises(StoreError, match="no such object") as caught:
            store.get(ObjectFacts("gone", 1, ""), tmp_path / "in", tmp_path / "parts")
        assert str(remote.child("gone")) in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_what_is_deleted_is_gone(self, store: ObjectStore, tmp_path: Path) -> None:
        put(store, "a", b"x", tmp_path)
        store.delete("a")
        assert store.list() == []

    def test_a_broken_transfer_shows_no_file_and_is_gone_on_with(self, store: ObjectStore, tmp_path: Path) -> None:
        data = os.urandom(LARGE)
        put(store, "large", data, tmp_path)
        moved: list[int] = []

        def breaks(count: int) -> None:
            moved.append(count)
            if sum(moved) > LARGE // 2:
                raise Preempted("told to stop")

        with pytest.raises(Preempted):
            store.get(facts_of(store, "large"), tmp_path / "in", tmp_path / "parts", breaks)
        assert not (tmp_path / "in").exists()
        moved.clear()
        store.get(facts_of(store, "large"), tmp_path / "in", tmp_path / "parts", moved.append)
        assert moved[0] > LARGE // 4
        assert sum(moved) == LARGE
        assert (tmp_path / "in").read_bytes() == data

    def test_an_object_that_changes_meanwhile_is_not_mixed(self, store: ObjectStore, tmp_path: Path) -> None:
        put(store, "a", b"old content", tmp_path)
        old = facts_of(store, "a")
        time.sleep(0.01)
        put(store, "a", b"new content!", tmp_path)
        with pytest.raises(StoreError, match="changed while it was read"):
            store.get(old, tmp_path / "in", tmp_path / "parts")
        assert not (tmp_path / "in").exists()

    def test_verifying_finds_other_bytes(self, store: ObjectStore, tmp_path: Path) -> None:
        put(store, "a", b"these bytes", tmp_path)
        with pytest.raises(StoreError, match="do not match their checksum"):
            store.verify("a", sha256(b"those bytes"))

    def test_a_folder_is_brought_and_later_only_what_differs(self, store: ObjectStore, remote: Location, tmp_path: Path) -> None:
        into = tmp_path / "in"
        for name in ("a", "b/c", "b/d"):
            put(store, name, name.encode() * 10, tmp_path)
        control = Watch()
        bring(remote, into, control)
        assert content(into) == {name: name.encode() * 10 for name in ("a", "b/c", "b/d")}
        assert control.told[-1] == (1, 1)
        before = {path: path.stat().st_ino for path in into.rglob("*")}
        bring(remote, into)
        assert {path: path.stat().st_ino for path in into.rglob("*")} == before

        put(store, "b/c", b"changed there", tmp_path)
        store.delete("b/d")
        os.utime(into / "a", (1, 1))
        bring(remote, into)
        assert content(into) == {"a": b"a" * 10, "b/c": b"changed there"}
        assert (into / "a").stat().st_ino == before[into / "a"]

        (into / "a").write_bytes(b"changed he")
        bring(remote, into)
        assert (into / "a").read_bytes() == b"a" * 10
        assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("in")) == ["in", "in.fetch.json"]

    def test_stopping_is_quick_and_the_next_call_goes_on(self, store: ObjectStore, remote: Location, tmp_path: Path) -> None:
        for number in range(30):
            put(store, f"{number:02d}", bytes([number]) * 1000, tmp_path)
        stop = threading.Event()
        stop.set()
        started = time.monotonic()
        with pytest.raises(Preempted):
            bring(remote, tmp_path / "in", Watch(stop))
        assert time.monotonic() - started < 5
        bring(remote, tmp_path / "in")
        assert len(content(tmp_path / "in")) == 30

    def test_files_and_folders_are_published(self, publisher: Publisher, store: ObjectStore, tmp_path: Path) -> None:
        out = tmp_path / "out"
        publisher.publish(write(out / "style.safetensors", b"weights"))
        publisher.publish(write(out / "samples" / "step-1" / "0.png", b"png"))
        write(out / "checkpoints" / "step-1" / "state.json", b"{}")
        write(out / "checkpoints" / "step-1" / "MANIFEST.json", b"manifest")
        publisher.publish_directory(out / "checkpoints" / "step-1")
        assert publisher.flush(30) == []
        publisher.flush_or_fail()
        assert {facts.name: store.read(facts.name) for facts in store.list()} == content(out)
        assert publisher.status.published == 3
        assert publisher.status.waiting == 0

    def test_a_folder_is_never_half_visible(self, publisher: Publisher, store: ObjectStore, tmp_path: Path) -> None:
        folder, stop, whole, broken = tmp_path / "out" / "step", threading.Event(), set[str](), []

        def look() -> None:
            reader = open_store(store.location)
            while not stop.is_set():
                try:
                    seen = reader.read("step/MANIFEST.json")
                    hashes = {name: sha256(reader.read(f"step/{name}")) for name in json.loads(seen)}
                    same = reader.read("step/MANIFEST.json") == seen
                except StoreError:
                    continue
                if same and hashes != json.loads(seen):
                    broken.append(seen)
                elif same:
                    whole.add(hashes["a"])

        looker = threading.Thread(target=look)
        looker.start()
        for version in (b"1", b"2", b"3"):
            files = {"a": version * (6 << 20), "b": version * 100, "c": version * (3 << 20)}
            for name, data in files.items():
                write(folder / name, data)
            write(folder / "MANIFEST.json", json.dumps({name: sha256(data) for name, data in files.items()}).encode())
            publisher.publish_directory(folder)
            assert publisher.flush(30) == []
            time.sleep(0.3)
        stop.set()
        looker.join()
        assert broken == []
        assert len(whole) == 3

    def test_old_folders_go_after_the_new_one_came(self, publisher: Publisher, store: ObjectStore, tmp_path: Path) -> None:
        out = tmp_path / "out"
        for step in ("1", "2"):
            write(out / step / "a", b"a")
            write(out / step / "MANIFEST.json", b"m")
        publisher.publish_directory(out / "1")
        assert publisher.flush(30) == []
        publisher.publish_directory(out / "2")
        publisher.retire(out / "1")
        assert publisher.flush(30) == []
        assert [facts.name for facts in store.list()] == ["2/MANIFEST.json", "2/a"]

    def test_writing_is_proven_without_a_trace(self, publisher: Publisher, store: ObjectStore) -> None:
        publisher.prove()
        assert store.list() == []

    def test_a_fresh_machine_gets_the_newest_whole_checkpoint(
        self, publisher: Publisher, store: ObjectStore, remote: Location, tmp_path: Path
    ) -> None:
        assert latest_checkpoint(remote) is None
        assert fetch_checkpoint(remote, tmp_path / "fresh", Watch()) is None
        for step in (10, 20, 30):
            publisher.publish_directory(save_checkpoint(tmp_path / "out", step))
        assert publisher.flush(30) == []
        # The upload of 30 was cut off before its manifest.
        store.delete("checkpoints/step-00000030/MANIFEST.json")
        assert str(latest_checkpoint(remote)).endswith("checkpoints/step-00000020")
        folder = fetch_checkpoint(remote, tmp_path / "fresh", Watch())
        assert folder == tmp_path / "fresh" / "checkpoints" / "step-00000020"
        assert checkpoint.read(folder).lora["a"][0] == 20
        assert sorted(path.name for path in (tmp_path / "fresh").iterdir()) == [".fetched.lock", "checkpoints"]

    def test_a_damaged_checkpoint_is_passed_over(
        self, publisher: Publisher, store: ObjectStore, remote: Location, tmp_path: Path
    ) -> None:
        for step in (10, 20, 30):
            publisher.publish_directory(save_checkpoint(tmp_path / "out", step))
        assert publisher.flush(30) == []
        put(store, "checkpoints/step-00000030/lora.safetensors", b"other bytes", tmp_path)
        store.delete("checkpoints/step-00000020/optimizer.safetensors")
        control = Watch()
        folder = fetch_checkpoint(remote, tmp_path / "fresh", control)
        assert folder is not None
        assert folder.name == "step-00000010"
        assert ["does not match its manifest" in control.warnings[0], "lacks optimizer" in control.warnings[1]] == [True, True]

    def test_a_newer_local_checkpoint_is_kept(self, publisher: Publisher, remote: Location, tmp_path: Path) -> None:
        publisher.publish_directory(save_checkpoint(tmp_path / "out", 10))
        assert publisher.flush(30) == []
        newer = save_checkpoint(tmp_path / "here", 11)
        assert fetch_checkpoint(remote, tmp_path / "here", Watch()) == newer

    def test_names_that_lead_out_of_the_folder_are_refused(self, remote: Location) -> None:
        with pytest.raises(ConfigError, match="'\\.\\.'"):
            files_of([ObjectFacts("ok", 1, ""), ObjectFacts("a/../../b", 1, "")], str(remote))
