"""New files: never over older ones, and none by halves."""

import os
import resource
from pathlib import Path

import pytest

from lorafleet.contracts.problems import StorageError, UsageError
from lorafleet.image.new_files import write_new


def test_it_is_written_with_its_mode_and_never_over_another(tmp_path: Path) -> None:
    path = tmp_path / "cosign.key"
    write_new(path, b"first", 0o600)
    with pytest.raises(UsageError, match="is there already"):
        write_new(path, b"second", 0o600)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"first", 0o600)


def test_a_disk_that_takes_no_more_leaves_nothing_in_the_way_of_the_next_try(tmp_path: Path) -> None:
    path = tmp_path / "cosign.key"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, hard))
    try:
        with pytest.raises(StorageError, match="cannot be written"):
            write_new(path, b"first", 0o600)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == []
    write_new(path, b"first", 0o600)


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        write_new(tmp_path / "none" / "cosign.key", b"first", 0o600)
