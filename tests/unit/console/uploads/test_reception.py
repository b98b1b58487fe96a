from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from lorafleet.console.uploads.limits import MIB
from lorafleet.console.uploads.reception import Budget, receive
from lorafleet.console.uploads.refusals import NoRoom, UploadTooLarge


def endless(read: list[int]) -> Iterator[bytes]:
    while True:
        read.append(1000)
        yield b"x" * 1000


def test_what_came_is_counted_and_hashed(tmp_path: Path) -> None:
    received = receive([b"a", b"", b"bc"], tmp_path / "file", 3, Budget(3, tmp_path, 0), "cat.png")
    assert (received.path.read_bytes(), received.size, received.sha256) == (b"abc", 3, sha256(b"abc").hexdigest())


@pytest.mark.parametrize(
    ("most", "left", "message"), [(5000, MIB, "cat.png: the file has"), (MIB, 5000, "cat.png: the upload is larger")]
)
def test_reading_ends_with_the_budget(tmp_path: Path, most: int, left: int, message: str) -> None:
    read: list[int] = []
    with pytest.raises(UploadTooLarge, match=message):
        receive(endless(read), tmp_path / "file", most, Budget(left, tmp_path, 0), "cat.png")
    assert sum(read) == 6000


def test_files_share_a_budget(tmp_path: Path) -> None:
    budget = Budget(10, tmp_path, 0)
    receive([b"123456"], tmp_path / "one", 10, budget, "one")
    with pytest.raises(UploadTooLarge):
        receive([b"123456"], tmp_path / "two", 10, budget, "two")


def test_a_full_disk_is_noticed_while_bytes_come(tmp_path: Path) -> None:
    budget = Budget(1 << 40, tmp_path, 1 << 62)
    with pytest.raises(NoRoom, match=r"cat\.png"):
        receive([b"x"], tmp_path / "file", 10, budget, "cat.png")
