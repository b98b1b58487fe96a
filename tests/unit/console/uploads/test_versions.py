import csv
import json
from pathlib import Path

import pytest

from lorafleet.console.uploads.intake import Intake
from lorafleet.console.uploads.publication import plan_publication
from lorafleet.console.uploads.refusals import UploadRefused
from lorafleet.console.uploads.versions import CONTENTS, edit_version, read_contents
from lorafleet.contracts.layout import parse_dataset_object
from tests.unit.console.uploads.conftest import Picture, add


@pytest.fixture
def cats(intake: Intake, picture: Picture) -> list[str]:
    files = [add(intake, f"cats/{number}.png", picture())[0] for number in range(3)]
    for file in files:
        intake.set_captions({file: "a cat"})
    return files


def contents(intake: Intake) -> bytes:
    (path,) = [file.path for file in intake.finish().files if file.name == CONTENTS]
    assert path is not None
    return path.read_bytes()


def test_new_captions_make_a_new_version_without_the_pictures(intake: Intake, cats: list[str], tmp_path: Path) -> None:
    before = intake.finish()
    edited = edit_version(contents(intake), {cats[0]: "a black cat", cats[1]: "=a 猫, sitting"}, tmp_path / "edit")
    assert sorted(path.name for path in (tmp_path / "edit").iterdir()) == [CONTENTS, "metadata.csv"]
    assert [file for file in edited.files if file.path is None] == [
        type(file)(file.name, None, file.size, file.sha256) for file in before.files if file.name in cats
    ]
    with (tmp_path / "edit" / "metadata.csv").open(newline="", encoding="utf-8") as file:
        table = {row["file_name"]: row["text"] for row in csv.DictReader(file)}
    assert table == {cats[0]: "a black cat", cats[1]: "=a 猫, sitting", cats[2]: ""}
    assert (edited.kind, edited.rows) == ("images", 3)
    assert edited.report["histogram"] == before.report["histogram"]


def test_its_report_is_that_of_an_upload_with_these_captions(intake: Intake, cats: list[str], tmp_path: Path) -> None:
    captions = dict(zip(cats, ["one", "two", "three"], strict=True))
    earlier = contents(intake)
    assert "D203" in [finding["code"] for finding in intake.finish().report["findings"]]
    for file, caption in captions.items():
        intake.set_captions({file: caption})
    edited = edit_version(earlier, captions, tmp_path / "edit")
    assert edited.report == intake.finish().report
    assert [(file.name, file.sha256) for file in edited.files] == [(file.name, file.sha256) for file in intake.finish().files]


def test_versions_can_be_edited_again_and_again(intake: Intake, cats: list[str], tmp_path: Path) -> None:
    first = edit_version(contents(intake), {cats[0]: "one"}, tmp_path / "1")
    second = edit_version((tmp_path / "1" / CONTENTS).read_bytes(), {cats[0]: "one"}, tmp_path / "2")
    assert [(file.name, file.sha256) for file in first.files] == [(file.name, file.sha256) for file in second.files]


def test_only_what_changed_is_written(intake: Intake, cats: list[str], tmp_path: Path) -> None:
    first = plan_publication("cats", "v1", intake.finish())
    assert [item.key for item in first.objects] == [item.key for item, _ in first.to_write]
    assert {item.key for item in first.objects} == {f"datasets/cats/v1/{name}" for name in (*cats, "metadata.csv", CONTENTS)}
    edited = edit_version(contents(intake), {cats[0]: "a black cat"}, tmp_path / "edit")
    second = plan_publication("cats", "v2", edited, first.objects)
    # The list of contents says the same as before.
    assert [item.key for item, _ in second.to_write] == ["datasets/cats/v2/metadata.csv"]
    assert {item.key for item in second.objects} == {
        "datasets/cats/v2/metadata.csv",
        *(f"datasets/cats/v1/{name}" for name in (*cats, CONTENTS)),
    }
    names = [parse_dataset_object(item.key) for item in second.objects]
    assert {found.name for found in names if found} == {*cats, "metadata.csv", CONTENTS}
    with pytest.raises(UploadRefused, match="no such file"):
        plan_publication("cats", "v2", edited, ())


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"files": [{"file": 1}]}', b'{"files": []}', b"\xff"])
def test_what_is_no_list_of_contents(data: bytes) -> None:
    with pytest.raises(UploadRefused):
        read_contents(data)


def test_texts_have_no_captions_to_edit(intake: Intake) -> None:
    add(intake, "one.txt", b"text")
    with pytest.raises(UploadRefused, match="versions of images"):
        read_contents(contents(intake))


def test_a_caption_of_no_image_is_refused(intake: Intake, cats: list[str], tmp_path: Path) -> None:
    with pytest.raises(UploadRefused, match="no such image"):
        edit_version(contents(intake), {"dog.png": "x"}, tmp_path / "edit")


def test_the_persons_names_are_kept(intake: Intake, cats: list[str]) -> None:
    assert [(entry.label, entry.file) for entry in read_contents(contents(intake))] == [
        (f"cats/{number}.png", file) for number, file in enumerate(cats)
    ]
    assert json.loads(contents(intake))["format"] == 1
