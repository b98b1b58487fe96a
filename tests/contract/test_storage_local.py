from pathlib import Path

import pytest

from tests.contract.storage_suite import StorageContract
from trainer.storage.locations import Location, parse_location


class TestLocalFolder(StorageContract):
    @pytest.fixture
    def remote(self, tmp_path: Path) -> Location:
        return parse_location((tmp_path / "the store").as_uri())
