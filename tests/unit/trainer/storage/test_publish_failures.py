"""What the publisher does when its store, here a folder, refuses."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lorafleet.contracts.problems import StorageError
from trainer.storage.locations import parse_location
from trainer.storage.publish import Publisher


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def publisher(tmp_path: Path, warnings: list[str]) -> Iterator[Publisher]:
    # The folder's place is taken by a file: every write fails.
    (tmp_path / "store").write_text("in the way")
    (tmp_path / "out").mkdir()
    publisher = Publisher(tmp_path / "out", parse_location(f"{tmp_path}/store"), warn=warnings.append, first_wait=0.05)
    yield publisher
    publisher.close()


def test_it_warns_once_and_tries_again_by_itself(publisher: Publisher, tmp_path: Path, warnings: list[str]) -> None:
    (tmp_path / "out" / "a").write_bytes(b"a")
    publisher.publish(tmp_path / "out" / "a")
    time.sleep(0.5)
    assert publisher.status.waiting == 1
    assert publisher.status.trouble
    (tmp_path / "store").unlink()
    until = time.monotonic() + 5
    while publisher.status.waiting and time.monotonic() < until:
        time.sleep(0.02)
    assert (tmp_path / "store" / "a").read_bytes() == b"a"
    assert publisher.status.trouble == ""
    assert len(warnings) == 1


def test_the_end_names_each_file_that_is_not_there(publisher: Publisher, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "out" / name).write_bytes(b"a")
        publisher.publish(tmp_path / "out" / name)
    with pytest.raises(StorageError) as caught:
        publisher.flush_or_fail(0.5)
    assert [problem.where for problem in caught.value.problems] == ["a", "b"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "b"]


def test_a_folder_that_was_pruned_is_no_trouble(publisher: Publisher, tmp_path: Path) -> None:
    folder = tmp_path / "out" / "step-1"
    folder.mkdir()
    (folder / "MANIFEST.json").write_text("m")
    publisher.publish_directory(folder)
    time.sleep(0.1)
    shutil.rmtree(folder)
    assert publisher.flush(5) == []
    assert publisher.status.published == 0


def test_an_old_folder_stays_until_its_successor_is_there(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "store").unlink()
    for name in ("1", "2"):
        (tmp_path / "out" / name).mkdir()
        (tmp_path / "out" / name / "MANIFEST.json").write_text("m")
    publisher.publish_directory(tmp_path / "out" / "1")
    assert publisher.flush(5) == []
    in_the_way = tmp_path / "store" / "2"
    in_the_way.write_text("in the way")
    publisher.publish_directory(tmp_path / "out" / "2")
    publisher.retire(tmp_path / "out" / "1")
    assert publisher.flush(0.5) == ["2"]
    assert (tmp_path / "store" / "1" / "MANIFEST.json").exists()
    in_the_way.unlink()
    assert publisher.flush(5) == []
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["2"]


def test_the_same_file_waits_only_once(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "out" / "a").write_bytes(b"a")
    (tmp_path / "out" / "grid.png").write_bytes(b"1")
    publisher.publish(tmp_path / "out" / "a")
    for _ in range(5):
        publisher.publish(tmp_path / "out" / "grid.png")
    assert publisher.status.waiting <= 3
    (tmp_path / "out" / "grid.png").write_bytes(b"2")
    (tmp_path / "store").unlink()
    assert publisher.flush(5) == []
    assert (tmp_path / "store" / "grid.png").read_bytes() == b"2"


def test_closing_does_not_wait_for_the_store(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "out" / "a").write_bytes(b"a")
    publisher.publish(tmp_path / "out" / "a")
    started = time.monotonic()
    publisher.close()
    assert publisher.flush(10) == ["a"]
    assert time.monotonic() - started < 3
