import csv
import io
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from lorafleet.console.uploads import caption_lookup
from lorafleet.console.uploads.decoder import Decoder, DecoderPool
from lorafleet.console.uploads.intake import Intake
from lorafleet.console.uploads.limits import MIB, Limits
from lorafleet.console.uploads.refusals import NoRoom, UploadRefused, UploadTooLarge
from lorafleet.console.uploads.shelves import FolderShelf
from lorafleet.datasets.checks import check_images, check_texts
from lorafleet.datasets.images import read_image_set
from lorafleet.datasets.texts import read_text_set
from tests.unit.console.uploads.conftest import Picture, add


def rows(intake: Intake) -> dict[str, str]:
    """What metadata.csv says."""
    (path,) = [file.path for file in intake.finish().files if file.name == "metadata.csv"]
    assert path is not None
    with path.open(newline="", encoding="utf-8") as file:
        return {row["file_name"]: row["text"] for row in csv.DictReader(file)}


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


class Endless:
    """A stream without an end that counts what was read."""

    def __init__(self) -> None:
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        assert size > 0
        self.count += size
        return b"x" * size


def test_pictures_and_captions_become_a_version(intake: Intake, picture: Picture) -> None:
    (cat,) = add(intake, "cats/cat.png", picture())
    (dog,) = add(intake, "dog.jpeg", picture("JPEG"))
    add(intake, "cats/cat.txt", b"a cat,\n  sitting ")
    version = intake.finish()
    assert re.fullmatch(r"cat-[0-9a-f]{8}\.png", cat)
    assert re.fullmatch(r"dog-[0-9a-f]{8}\.jpg", dog)
    assert rows(intake) == {cat: "a cat, sitting", dog: ""}
    assert (version.kind, version.rows) == ("images", 2)
    assert sorted(file.name for file in version.files) == sorted([cat, dog, "metadata.csv", ".contents.json"])
    for file in version.files:
        assert file.path is not None
        assert (file.path.name, file.path.stat().st_size) == (file.name, file.size)
    assert json.loads(json.dumps(version.report)) == version.report


def test_the_report_is_what_the_checks_say_of_the_finished_folder(intake: Intake, picture: Picture, tmp_path: Path) -> None:
    same = picture()
    for name, data in (
        ("a.png", same),
        ("b.png", same),
        ("c.webp", picture("WEBP", (600, 520))),
        ("d.bmp", picture("BMP", (99, 512))),
    ):
        add(intake, name, data)
    add(intake, "a.txt", b"a cat")
    add(intake, "z.txt", b"nobody's")
    version = intake.finish()
    found = check_images(
        read_image_set(tmp_path / "staging" / "images"),
        resolution=512,
        bucket_step=64,
        upscale=True,
        lora_rank=8,
        buckets=True,
        batch_size=4,
    )
    told = [(finding["code"], finding["severity"], len(finding["names"])) for finding in version.report["findings"]]
    assert version.report["histogram"] == found.histogram
    assert version.rows == found.count == 4
    # In the folder a missing caption is an empty one, and the text file of no image is not there any more.
    assert ("D201", "warning", 3) in told
    assert ("D204", "warning", 1) in told
    others = [(finding.code, finding.severity, len(finding.names)) for finding in found.findings if finding.code != "D202"]
    assert sorted(item for item in told if item[0] not in ("D201", "D204")) == sorted(others)
    assert ("D107", "warning", 2) in others


def test_findings_speak_of_the_persons_names(intake: Intake, picture: Picture, tmp_path: Path) -> None:
    add(intake, "猫/图.png", picture())
    add(intake, "猫/metadata.csv", "file_name,text\n图.png,一只猫\n没有.png,x\n".encode("gbk"))
    text = json.dumps(intake.finish().report, ensure_ascii=False)
    assert "猫/metadata.csv:3" in text
    assert "'没有.png' is not there" in text
    assert "did you mean '图.png'?" in text
    assert str(tmp_path) not in text
    assert not re.search(r"-[0-9a-f]{8}\.", text)
    assert list(intake.captions().values()) == ["一只猫"]


def test_which_caption_wins(intake: Intake, picture: Picture) -> None:
    (one,), (two,), (three,) = (add(intake, f"{name}.png", picture()) for name in "abc")
    for name in "abc":
        add(intake, f"{name}.txt", b"from a text file")
    add(intake, "captions.jsonl", b'{"file_name": "b.png", "prompt": "from a table"}\n{"file": "c.png", "text": "from a table"}\n')
    intake.set_captions({three: "  by \n hand "})
    assert intake.captions() == {one: "from a text file", two: "from a table", three: "by hand"}
    intake.set_captions({three: ""})
    assert rows(intake) == {one: "from a text file", two: "from a table", three: ""}


def test_a_table_that_means_something_else_is_no_error(intake: Intake, picture: Picture) -> None:
    add(intake, "cat.png", picture())
    add(intake, "prices.csv", b"item,price\ncat,3\n")
    (finding,) = [found for found in intake.finish().report["findings"] if found["where"] == "prices.csv"]
    assert (finding["code"], finding["severity"]) == ("D004", "warning")


def test_captions_are_kept_exactly(intake: Intake, picture: Picture) -> None:
    captions = ['say "cat", or don\'t', "=1+1", "猫 🐈", "a,b;c\td", "x " * 5000]
    files = [add(intake, f"{number}.png", picture())[0] for number in range(len(captions))]
    for file, caption in zip(files, captions, strict=True):
        intake.set_captions({file: caption})
    assert rows(intake) == dict(zip(files, (" ".join(caption.split()) for caption in captions), strict=True))


@pytest.mark.parametrize(
    ("text", "message"),
    [("x" * 20_000, "more than 16384 bytes"), ("a\0b", r"U\+0000"), ("a\ud800b", r"U\+D800"), ("a\x1bb", r"U\+001B")],
)
def test_what_is_no_caption(intake: Intake, picture: Picture, text: str, message: str) -> None:
    (file,) = add(intake, "cat.png", picture())
    with pytest.raises(UploadRefused, match=message):
        intake.set_captions({file: text})
    with pytest.raises(UploadRefused, match="no such file"):
        intake.set_captions({"../cat.png": "x"})
    with pytest.raises(UploadRefused, match="no such file"):
        intake.remove("../../state.json")
    assert intake.captions() == {file: ""}


def test_texts_without_pictures_are_a_text_set(intake: Intake, tmp_path: Path) -> None:
    add(intake, "chat/one.jsonl", b'{"prompt": "a", "completion": "b"}\n{"prompt": 3}\n')
    add(intake, "two.txt", "第一段\n\n第二段".encode())
    version = intake.finish()
    assert (version.kind, version.rows) == ("texts", 3)
    assert [finding["where"] for finding in version.report["findings"]] == ["chat/one.jsonl:2"]
    folder = tmp_path / "staging" / "texts"
    assert check_texts(read_text_set(folder), lora_rank=8).count == 3
    assert sorted(path.name for path in files_below(folder)) == sorted(file.name for file in version.files)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("cat.gif", b"GIF89a", "format"),
        ("cat.svg", b"<svg onload='alert(1)'/>", "format"),
        ("cat.heic", b"x", "format"),
        ("cat.exe", b"MZ", "kind of file"),
        ("cat", b"x", "kind of file"),
        ("model.safetensors", b"x", "kind of file"),
        ("set.rar", b"Rar!\x1a\x07", "only zip"),
        ("set.tar.gz", b"\x1f\x8b", "only zip"),
        ("cat.png", b"<svg onload='alert(1)'/>", "not a PNG"),
        ("cat.png", b"GIF89a" + b"\0" * 50, "not a PNG"),
        ("cat.png", b"PK\x03\x04" + b"\0" * 50, "not a PNG"),
        ("cat.png", b"\x89PNG\r\n\x1a\n", "not a PNG"),
        ("cat.jpg", b"\xff\xd8\xff\xe0", "not a PNG|broken"),
        ("cat.png", b"", "empty"),
        ("cat.txt", b"", "empty"),
        ("cat.txt", b"\xff\xff\xff\x80", "neither UTF-8 nor GBK"),
        ("cat.csv", b"a\0b", "no text"),
        ("../cat.png", b"x", "leads out"),
    ],
)
def test_what_is_not_taken(intake: Intake, tmp_path: Path, name: str, data: bytes, message: str) -> None:
    with pytest.raises(UploadRefused, match=message) as refused:
        add(intake, name, data)
    assert str(refused.value).startswith(f"{name}: ")
    assert str(refused.value).isprintable()
    assert str(tmp_path) not in str(refused.value)
    assert files_below(tmp_path / "staging") == []


def image(mode: str, size: tuple[int, int], image_format: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size).save(out, image_format, **options)
    return out.getvalue()


def test_picture_bombs(intake: Intake, tmp_path: Path) -> None:
    bomb = image("1", (9000, 9000))
    assert len(bomb) < 20_000
    with pytest.raises(UploadRefused, match="9000 x 9000 pixels"):
        add(intake, "bomb.png", bomb)
    with pytest.raises(UploadRefused, match="megapixels"):
        add(intake, "bomb.png", image("1", (20_000, 20_000)))
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue", "green")]
    for image_format in ("PNG", "WEBP"):
        with pytest.raises(UploadRefused, match="animated"):
            add(intake, "moving.png", image("RGB", (40, 40), image_format, save_all=True, append_images=frames))
    assert files_below(tmp_path / "staging") == []


def test_what_a_picture_tells_about_its_owner_is_not_stored(intake: Intake, picture: Picture, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x013B] = "John Doe"
    (file,) = add(intake, "cat.jpg", picture("JPEG", exif=exif))
    stored = (tmp_path / "staging" / "images" / file).read_bytes()
    assert b"John Doe" not in stored
    contents = json.loads((intake.finish().files[-1].path or Path()).read_bytes())
    assert [(found["width"], found["height"]) for found in contents["files"]] == [(40, 48)]


def test_a_picture_gets_the_suffix_of_what_it_is(intake: Intake, picture: Picture) -> None:
    (file,) = add(intake, "cat.png", picture("WEBP"))
    assert file.endswith(".webp")


@pytest.mark.parametrize("data", [b"\n" * 101, b"[" + b"{}," * 101 + b"{}]", b"[" * 101 + b"]" * 101])
def test_texts_that_become_huge_in_memory_are_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(UploadRefused, match=r"rows\.json: the file has more than 100 rows"):
        add(Intake(FolderShelf(tmp_path / "staging"), Limits(min_free_bytes=0, rows=100)), "rows.json", data)


def test_a_table_that_takes_too_much_is_a_finding(intake: Intake, picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    add(intake, "cat.png", picture())
    add(intake, "captions.json", b"[" + b"{}," * 1_500_000 + b"{}]")
    small = DecoderPool(lambda: Decoder(memory_bytes=300 * MIB), count=1)
    monkeypatch.setattr(caption_lookup, "decoders", lambda: small)
    (finding,) = [found for found in intake.finish().report["findings"] if found["where"] == "captions.json"]
    small.close()
    assert (finding["severity"], finding["message"]) == ("error", "it needs too much memory")


def test_real_bytes_are_counted(tmp_path: Path) -> None:
    limits = Limits(min_free_bytes=0, image_bytes=2 * MIB, text_bytes=MIB, upload_bytes=4 * MIB)
    for name, most in (("cat.png", 2 * MIB), ("cat.txt", MIB), ("set.zip", 4 * MIB)):
        stream = Endless()
        with pytest.raises(UploadTooLarge, match=name):
            Intake(FolderShelf(tmp_path / name), limits).add(name, stream)  # type: ignore[arg-type]
        assert stream.count <= most + MIB
        assert files_below(tmp_path / name) == []


def test_all_files_of_an_upload_share_its_budget(tmp_path: Path, picture: Picture) -> None:
    data = picture()
    intake = Intake(FolderShelf(tmp_path / "staging"), Limits(min_free_bytes=0, upload_bytes=2 * len(data) + 100))
    add(intake, "a.png", data)
    add(intake, "b.png", picture())
    with pytest.raises(UploadTooLarge, match="larger than it may be"):
        add(intake, "c.png", picture())
    assert len(intake.captions()) == 2


def test_the_number_of_files_is_limited(tmp_path: Path, picture: Picture) -> None:
    intake = Intake(FolderShelf(tmp_path / "staging"), Limits(min_free_bytes=0, files=1))
    add(intake, "a.png", picture())
    with pytest.raises(UploadTooLarge, match="more than 1 files"):
        add(intake, "b.png", picture())


def test_some_of_the_disk_is_left(tmp_path: Path, picture: Picture) -> None:
    intake = Intake(FolderShelf(tmp_path / "staging"), Limits(min_free_bytes=1 << 62))
    with pytest.raises(NoRoom, match="nearly full"):
        add(intake, "a.png", picture())


def test_the_same_file_again_changes_nothing_and_another_is_refused(intake: Intake, picture: Picture) -> None:
    data = picture()
    first = add(intake, "cat.png", data)
    assert add(intake, "cat.png", data) == first
    with pytest.raises(UploadRefused, match="another file of this name"):
        add(intake, "cat.png", picture())
    assert list(intake.captions()) == first


def test_one_content_under_two_names_is_two_files(intake: Intake, picture: Picture) -> None:
    data = picture()
    names = {*add(intake, "a/cat.png", data), *add(intake, "b/cat.png", data)}
    assert len(names) == 2
    assert set(rows(intake)) == names


def test_an_upload_goes_on_in_another_process(intake: Intake, picture: Picture, tmp_path: Path) -> None:
    (file,) = add(intake, "cat.png", picture())
    intake.set_captions({file: "a cat"})
    again = Intake(FolderShelf(tmp_path / "staging"), Limits(min_free_bytes=0))
    assert again.captions() == {file: "a cat"}
    assert again.finish() == intake.finish()


def test_several_add_at_once(intake: Intake, picture: Picture, tmp_path: Path) -> None:
    pictures = [picture() for _ in range(12)]

    def work(number: int) -> list[str]:
        return add(Intake(FolderShelf(tmp_path / "staging"), Limits(min_free_bytes=0)), f"{number}.png", pictures[number])

    with ThreadPoolExecutor(12) as pool:
        added = list(pool.map(work, range(12)))
    assert {name for (name,) in added} == set(intake.captions())
    assert len(rows(intake)) == 12
    assert list((tmp_path / "staging" / "parts").iterdir()) == []


def test_finishing_again_gives_the_same(intake: Intake, picture: Picture) -> None:
    (file,) = add(intake, "cat.png", picture())
    intake.set_captions({file: "a cat"})
    assert intake.finish() == intake.finish()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.lists(
        st.sampled_from(["..", "/", "\\", "C:", "a", ".txt", ".csv", ".zip", ".png", "猫", "\u202e", "\0", "\n", "\ud800", "%2f"]),
        max_size=6,
    ).map("".join),
    st.binary(max_size=40),
)
def test_whatever_comes_nothing_is_written_elsewhere(tmp_path: Path, name: str, data: bytes) -> None:
    home = tmp_path / "home"
    intake = Intake(FolderShelf(home / "staging"), Limits(min_free_bytes=0))
    try:
        taken = intake.add(name, io.BytesIO(data))
    except (UploadRefused, UploadTooLarge) as error:
        assert str(error).isprintable()  # noqa: PT017
        taken = []
    for item in taken:
        assert re.fullmatch(r"([a-z0-9][a-z0-9-]*\.[a-z]+)?", item.file)
    assert [path.name for path in home.iterdir()] == ["staging"]
    for path in files_below(home):
        assert re.fullmatch(r"lock|state\.json|[a-z0-9][a-z0-9-]*\.(txt|csv)", path.name)
    assert list((home / "staging" / "parts").iterdir()) == []
