from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafleet.contracts.problems import NoInputError
from lorafleet.datasets.caption_sources import _inside, read_captions
from lorafleet.datasets.findings import Code, Finding, Severity
from lorafleet.datasets.image_files import list_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    for name in ("a.png", "b.jpg", "sub/c.webp"):
        (tmp_path / name).touch()
    return tmp_path


def read(folder: Path, metadata: Path | None = None) -> tuple[dict[str, str], list[Finding]]:
    captions = read_captions(folder, list_files(folder), metadata)
    return dict(captions.texts), list(captions.findings)


@pytest.mark.parametrize(
    "data",
    [
        b"file_name,text\na.png,one\nb.jpg,two\nsub/c.webp,three\n",
        b"\xef\xbb\xbffile_name,text\r\na.png,one\r\n\r\nb.jpg,two\r\n.\\sub\\c.webp,three\r\n",
        b"file,prompt\na.png,one\nb.jpg,two\n./sub/c.webp, three \n",
        b"caption;license;image\none;cc0;a.png\ntwo;cc0;b.jpg\nthree;;sub/c.webp",
        "File_Name\tText\na.png\tone\nb.jpg\ttwo\nsub/c.webp\tthree".encode("utf-16"),
    ],
)
def test_the_forms_of_metadata_csv(folder: Path, data: bytes) -> None:
    (folder / "metadata.csv").write_bytes(data)
    assert read(folder) == ({"a.png": "one", "b.jpg": "two", "sub/c.webp": "three"}, [])


def test_metadata_jsonl(folder: Path) -> None:
    lines = '{"file_name": "a.png", "text": "one"}\n{"file_name": "b.jpg", "text": 5}\n[]\n{"file_name": "sub/c.webp"}\n{oops\n'
    (folder / "metadata.jsonl").write_text(lines)
    texts, findings = read(folder)
    assert texts == {"a.png": "one"}
    bad = [finding for finding in findings if finding.code is Code.BAD_ROW]
    assert sorted(finding.where.rsplit(":", 1)[1] for finding in bad) == ["2", "3", "4", "5"]


def test_gbk_is_read_and_noted(folder: Path) -> None:
    rows = "file_name,text\na.png,一只猫\nb.jpg,杯咖啡\nsub/c.webp,火箭\n"
    (folder / "metadata.csv").write_bytes(rows.encode("gbk"))
    texts, findings = read(folder)
    assert texts["a.png"] == "一只猫"
    assert [(finding.code, finding.severity) for finding in findings] == [(Code.NOT_UTF8, Severity.NOTE)]


def test_quoted_commas_quotes_and_line_breaks(folder: Path) -> None:
    (folder / "metadata.csv").write_text(
        'file_name,text\na.png,"a cat, on ""a"" mat\nat night"\nb.jpg,5" disk\nsub/c.webp,x\nz.png,y\n'
    )
    texts, findings = read(folder)
    assert texts["a.png"] == 'a cat, on "a" mat at night'
    assert texts["b.jpg"] == '5" disk'
    assert [finding.where for finding in findings] == [f"{folder / 'metadata.csv'}:6"]


@pytest.mark.parametrize(
    ("row", "line", "words"),
    [
        ("a.png,a cat, on a mat", 2, "3 values for the 2 columns"),
        ("a.png", 2, "1 values for the 2 columns"),
        ('a.png,"never closed\nb.jpg,x', 2, "not CSV"),
    ],
)
def test_a_bad_row_is_named_by_its_line(folder: Path, row: str, line: int, words: str) -> None:
    (folder / "metadata.csv").write_text(f"file_name,text\n{row}\n")
    _, findings = read(folder)
    assert findings[0].where == f"{folder / 'metadata.csv'}:{line}"
    assert findings[0].severity is Severity.ERROR
    assert words in findings[0].message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty"),
        ("file_name,text\n", "there are no rows"),
        ("a.png,a cat\nb.jpg,a dog\n", "columns 'file_name' and 'text'"),
    ],
)
def test_a_table_without_use_is_one_error(folder: Path, text: str, words: str) -> None:
    (folder / "metadata.csv").write_text(text)
    _, findings = read(folder)
    assert [finding.severity for finding in findings] == [Severity.ERROR]
    assert words in findings[0].message


@pytest.mark.parametrize("name", ["../a.png", "sub/../../a.png", "/etc/a.png", "C:\\a.png", "..\\a.png", "\\\\host\\share\\a.png"])
def test_names_that_lead_out_are_refused(folder: Path, name: str) -> None:
    (folder.parent / "a.png").touch()
    (folder / "metadata.csv").write_text(f"file_name,text\na.png,x\nb.jpg,x\nsub/c.webp,x\n{name},x\n")
    _, findings = read(folder)
    assert [(finding.code, finding.where) for finding in findings] == [(Code.OUTSIDE_FOLDER, f"{folder / 'metadata.csv'}:5")]


@given(st.lists(st.sampled_from(["..", ".", "a", "/", "\\", "c:", "b.png", " "]), max_size=8))
def test_no_spelling_leads_out(parts: list[str]) -> None:
    inside = _inside("/".join(parts))
    if inside is not None:
        resolved = Path("/base", inside).resolve()
        assert resolved.is_relative_to("/base")


def test_missing_images_have_a_hint_and_repeated_ones_a_warning(folder: Path) -> None:
    (folder / "metadata.csv").write_text("file_name,text\na.png,one\na.png,other\nb.jpeg,two\nnotes.gif,x\nb.jpg,y\nsub/c.webp,z\n")
    (folder / "notes.gif").touch()
    texts, findings = read(folder)
    assert texts["a.png"] == "one"
    twice, missing, unreadable = findings
    assert (twice.code, twice.severity) == (Code.TWO_CAPTIONS, Severity.WARNING)
    assert "line 2" in twice.message
    assert (missing.code, missing.hint) == (Code.CAPTION_WITHOUT_IMAGE, "did you mean 'b.jpg'?")
    assert "no image that can be read" in unreadable.message


def test_names_match_in_either_unicode_form(tmp_path: Path) -> None:
    (tmp_path / "cafe\u0301.png").touch()
    (tmp_path / "metadata.csv").write_text("file_name,text\ncaf\u00e9.png,coffee\n", encoding="utf-8")
    assert read(tmp_path) == ({"cafe\u0301.png": "coffee"}, [])


def test_side_files_fill_in_where_metadata_has_no_row(folder: Path) -> None:
    (folder / "metadata.csv").write_text("file_name,text\na.png,from csv\n")
    (folder / "a.txt").write_text("from txt")
    (folder / "b.caption").write_text("from caption")
    (folder / "sub/c.txt").write_text("txt first")
    (folder / "sub/c.caption").write_text("not this")
    assert read(folder) == ({"a.png": "from csv", "b.jpg": "from caption", "sub/c.webp": "txt first"}, [])


def test_side_files_without_an_image_are_told(folder: Path) -> None:
    for name in ("a.txt", "b.txt", "sub/c.txt", "gone.txt"):
        (folder / name).write_text("words")
    (folder / "README.txt").write_text("about this set")
    _, findings = read(folder)
    assert [(finding.code, finding.names) for finding in findings] == [(Code.CAPTION_WITHOUT_IMAGE, ("gone.txt",))]


def test_images_without_words_are_told_together(folder: Path) -> None:
    (folder / "a.txt").write_text(" \n")
    _, findings = read(folder)
    assert [(finding.code, finding.names) for finding in findings] == [
        (Code.NO_CAPTION, ("b.jpg", "sub/c.webp")),
        (Code.EMPTY_CAPTION, ("a.png",)),
    ]


def test_another_metadata_file_may_be_named(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other") / "captions.csv"
    other.write_text("file_name,text\na.png,x\nb.jpg,y\nsub/c.webp,z\n")
    (folder / "metadata.csv").write_text("broken")
    assert read(folder, other)[0] == {"a.png": "x", "b.jpg": "y", "sub/c.webp": "z"}
    with pytest.raises(NoInputError, match="no such metadata file"):
        read(folder, folder / "nope.csv")


def test_only_one_of_two_metadata_files_is_read_and_that_is_told(folder: Path) -> None:
    (folder / "metadata.csv").write_text("file_name,text\na.png,x\nb.jpg,y\nsub/c.webp,z\n")
    (folder / "metadata.jsonl").write_text("{}")
    assert [finding.code for finding in read(folder)[1]] == [Code.UNUSED_FILE]
