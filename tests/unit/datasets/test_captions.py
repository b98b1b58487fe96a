import csv
from pathlib import Path

import pytest

from lorafleet.contracts.problems import DataError, NoInputError, StorageError, UsageError
from lorafleet.datasets.caption_sources import read_captions
from lorafleet.datasets.captions import write_captions_csv
from lorafleet.datasets.image_files import list_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.png", "a, b.jpg", "c.webp"):
        (tmp_path / name).touch()
    (tmp_path / "b.txt").write_text('a "big" cat, 猫\n', encoding="utf-8")
    return tmp_path


def rows(path: Path) -> list[list[str]]:
    return list(csv.reader(path.read_text(encoding="utf-8").splitlines()))


def test_side_files_and_the_given_caption_become_rows(folder: Path) -> None:
    target, count = write_captions_csv(folder, caption="a thing")
    assert (target, count) == (folder / "metadata.csv", 3)
    expected = [["file_name", "text"], ["a, b.jpg", "a thing"], ["b.png", 'a "big" cat, 猫'], ["c.webp", "a thing"]]
    assert rows(target) == expected
    assert sorted(path.name for path in folder.iterdir()) == ["a, b.jpg", "b.png", "b.txt", "c.webp", "metadata.csv"]


def test_what_is_written_reads_back_the_same(folder: Path) -> None:
    before = read_captions(folder, list_files(folder)).texts
    write_captions_csv(folder)
    after = read_captions(folder, list_files(folder)).texts
    assert {name: text for name, text in after.items() if text} == before


def test_nothing_is_replaced_without_force(folder: Path) -> None:
    path = folder / "metadata.csv"
    path.write_text("file,prompt\nc.webp,kept\n")
    with pytest.raises(UsageError, match="there already"):
        write_captions_csv(folder)
    assert path.read_text() == "file,prompt\nc.webp,kept\n"
    write_captions_csv(folder, force=True)
    assert ["c.webp", "kept"] in rows(path)


def test_a_broken_table_is_not_replaced_even_with_force(folder: Path) -> None:
    path = folder / "metadata.csv"
    path.write_text("file_name,text\nc.webp,one,two\n")
    with pytest.raises(DataError, match="3 values"):
        write_captions_csv(folder, force=True)
    assert path.read_text() == "file_name,text\nc.webp,one,two\n"


def test_no_images_no_folder_no_place_to_write(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images here"):
        write_captions_csv(tmp_path / "empty")
    with pytest.raises(NoInputError):
        write_captions_csv(tmp_path / "nope")
    with pytest.raises(StorageError, match="cannot be written"):
        write_captions_csv(folder, tmp_path / "nope" / "out.csv")
