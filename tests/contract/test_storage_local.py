from pathlib import Path

import pytest

from tests.contract.storage_suite import StorageContract
from trainer.storage.locations import Location, parse_location
from trainer.storage.store import open_store


class TestLocalFolder(StorageContract):
    @pytest.fixture
    def remote(self, tmp_path: Path) -> Location:
        return parse_location((tmp_path / "the store").as_uri())


def test_a_relative_path_with_dots_is_a_store_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "file").write_bytes(b"content")
    open_store(parse_location("../the store")).put("a/b", tmp_path / "file")
    assert (tmp_path / "the store" / "a" / "b").read_bytes() == b"content"
