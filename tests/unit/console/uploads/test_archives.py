"""Archives that are built to deceive, made here: small on the disk, large or elsewhere when opened."""

import io
import random
import struct
import zipfile
from pathlib import Path

import pytest

from lorafleet.console.uploads.intake import Intake
from lorafleet.console.uploads.limits import MIB, Limits
from lorafleet.console.uploads.refusals import HostileArchive, UploadRefused, UploadTooLarge
from lorafleet.console.uploads.shelves import FolderShelf
from tests.unit.console.uploads.conftest import Picture, add, entry, zipped

WORDS = "一只猫 a cat ".encode() * 10


def refused(intake: Intake, data: bytes, message: str, kind: type[Exception] = HostileArchive) -> str:
    """Nothing of the archive is taken, and one line says why."""
    with pytest.raises(kind, match=message) as error:
        add(intake, "set.zip", data)
    text = str(error.value)
    assert text.isprintable()
    assert intake.captions() == {}
    with pytest.raises(UploadRefused, match="nothing in this upload"):
        intake.finish()
    return text


def left_over(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and path.name not in ("lock", "state.json")]


def patched(data: bytes, signature: bytes, offset: int, value: bytes) -> bytes:
    """Every header with this signature changed."""
    parts = data.split(signature)
    return signature.join([parts[0], *(part[: offset - 4] + value + part[offset - 4 + len(value) :] for part in parts[1:])])


LOCAL, CENTRAL = b"PK\x03\x04", b"PK\x01\x02"


def test_an_ordinary_archive(intake: Intake, picture: Picture) -> None:
    taken = intake.add("set.zip", io.BytesIO(zipped({"a/cat.png": picture(), "a/cat.txt": WORDS, "a/": b"", "__MACOSX/._x": b"x"})))
    assert [(item.name, item.kind, item.refused) for item in taken] == [("a/cat.png", "image", ""), ("a/cat.txt", "words", "")]
    assert list(intake.captions().values()) == [WORDS.decode().strip()]


def test_a_bomb_by_ratio(tmp_path: Path, picture: Picture, intake: Intake) -> None:
    bomb = zipped({"cat.png": picture(), "bomb.txt": b"0" * (40 * MIB)})
    assert len(bomb) < MIB
    refused(
        Intake(FolderShelf(tmp_path / "staging"), Limits(min_free_bytes=0, text_bytes=100 * MIB)),
        bomb,
        "bomb.txt: .*100 times",
        UploadTooLarge,
    )
    assert left_over(tmp_path / "staging") == []


def test_a_bomb_by_number(tmp_path: Path) -> None:
    limits = Limits(min_free_bytes=0, files=20)
    many = zipped({f"{number}.txt": WORDS for number in range(21)})
    assert "21 parts" in refused(Intake(FolderShelf(tmp_path / "a"), limits), many, "more than 20", UploadTooLarge)
    # A directory that alone would fill the memory is not read at all.
    huge = zipped({entry(f"{number:04}" + "x" * 2000): b"" for number in range(21)})
    refused(Intake(FolderShelf(tmp_path / "b"), limits), huge, "more than 20 parts", UploadTooLarge)


def test_a_bomb_by_sum(tmp_path: Path) -> None:
    source = random.Random(1)
    files = {f"{number}.txt": source.randbytes(MIB // 2).hex().encode() for number in range(4)}
    data = zipped(files)
    limits = Limits(min_free_bytes=0, upload_bytes=3 * MIB)
    refused(Intake(FolderShelf(tmp_path / "a"), limits), data, "more than 3 MiB", UploadTooLarge)
    # The directory says less than there is.
    lying = patched(data, CENTRAL, 24, struct.pack("<I", 1000))
    refused(Intake(FolderShelf(tmp_path / "b"), limits), lying, "not what the archive says")
    assert left_over(tmp_path / "b") == []


@pytest.mark.parametrize("stated", [0, 1, len(WORDS) - 1, len(WORDS) + 1, 10_000])
def test_a_lie_about_the_size(intake: Intake, stated: int) -> None:
    refused(intake, patched(zipped({"cat.txt": WORDS}), CENTRAL, 24, struct.pack("<I", stated)), "lies|not what the archive says")


def test_a_lie_about_the_name(intake: Intake) -> None:
    refused(intake, zipped({"cat.txt": WORDS}).replace(b"cat.txt", b"dog.txt", 1), "not what the archive says")


def test_damage(intake: Intake) -> None:
    data = bytearray(zipped({"cat.txt": WORDS}, zipfile.ZIP_STORED))
    data[60] ^= 1
    assert "cat.txt" in refused(intake, bytes(data), "damaged")


def test_parts_that_overlap(intake: Intake) -> None:
    data = zipped({"1.txt": WORDS, "2.txt": WORDS})
    at = data.rindex(CENTRAL)
    refused(intake, data[: at + 42] + struct.pack("<I", 0) + data[at + 46 :], "overlap")


@pytest.mark.parametrize("inner", ["inner.zip", "a/inner.TAR", "inner.7z", "inner.tar.gz"])
def test_an_archive_inside_by_name(intake: Intake, inner: str) -> None:
    assert inner in refused(intake, zipped({inner: b"x"}), "another archive")


@pytest.mark.parametrize(
    "head", [b"PK\x03\x04", b"Rar!\x1a\x07\x01\0", b"7z\xbc\xaf\x27\x1c", b"\x1f\x8b\x08", b"\0" * 257 + b"ustar"]
)
def test_an_archive_inside_by_content(intake: Intake, picture: Picture, head: bytes) -> None:
    assert "holiday.png" in refused(intake, zipped({"cat.png": picture(), "holiday.png": head + b"x" * 300}), "another archive")


def test_an_encrypted_archive(intake: Intake) -> None:
    data = patched(patched(zipped({"cat.txt": WORDS}), CENTRAL, 8, struct.pack("<H", 1)), LOCAL, 6, struct.pack("<H", 1))
    assert "password" in refused(intake, data, "cat.txt: the archive is encrypted")


@pytest.mark.parametrize("mode", [0o120777, 0o020666, 0o010666])
def test_links_and_devices(intake: Intake, mode: int) -> None:
    info = zipfile.ZipInfo("cat.txt")
    info.external_attr = mode << 16
    refused(intake, zipped({info: b"/etc/passwd"}), "link or a device")


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_rare_compression(intake: Intake, compression: int) -> None:
    refused(intake, zipped({"cat.txt": WORDS}, compression), "rare compression")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../../cat.txt", "leads out"),
        ("..\\cat.txt", "leads out"),
        ("/etc/cron.d/cat.txt", "absolute"),
        ("C:\\Windows\\cat.txt", "absolute"),
        ("a/b\\cat.txt", "both kinds"),
        ("cat\u202etxt.png", r"U\+202E"),
        ("cat.txt\0.png", r"U\+0000"),
        ("a/" * 20 + "cat.txt", "more than 16 folders"),
        ("../", "leads out"),
    ],
)
def test_hostile_names(intake: Intake, tmp_path: Path, picture: Picture, name: str, message: str) -> None:
    data = zipped({"good.png": picture(), entry(name, utf8=True): WORDS})
    refused(intake, data, message, UploadRefused)
    assert left_over(tmp_path) == []


def test_two_parts_of_one_name(intake: Intake) -> None:
    refused(intake, zipped({entry("caf\u00e9.txt", utf8=True): WORDS, entry("cafe\u0301.txt", utf8=True): WORDS}), "two files")
    refused(intake, zipped({entry("a/cat.txt"): WORDS, entry("./a/cat.txt"): b"other"}), "two files")


@pytest.mark.parametrize("data", [b"", b"PK", b"PK\x03\x04" + b"x" * 50, b"not a zip" * 100, zipped({"cat.txt": WORDS})[:-10]])
def test_what_is_no_archive(intake: Intake, data: bytes) -> None:
    refused(intake, data, "no zip archive")


def test_every_broken_byte_ends_in_one_line(tmp_path: Path) -> None:
    good = zipped({"cat.txt": WORDS, entry("猫.txt".encode("gbk")): WORDS})
    for position in range(len(good)):
        intake = Intake(FolderShelf(tmp_path / str(position)), Limits(min_free_bytes=0))
        broken = good[:position] + bytes([good[position] ^ 0xFF]) + good[position + 1 :]
        try:
            add(intake, "set.zip", broken)
        except (UploadRefused, UploadTooLarge) as error:
            assert str(error).isprintable()  # noqa: PT017
            assert left_over(tmp_path / str(position)) == []


def test_an_empty_archive(intake: Intake) -> None:
    refused(intake, zipped({}), "empty", UploadRefused)


def test_names_in_an_old_code_page_are_read_and_the_guess_is_shown(intake: Intake, picture: Picture) -> None:
    data = zipped(
        {entry("赛博朋克/夜景.png".encode("gbk")): picture(), entry("赛博朋克/夜景.txt".encode("gbk")): WORDS, "cat.png": picture()}
    )
    taken = intake.add("set.zip", io.BytesIO(data))
    assert [(item.name, item.guess) for item in taken] == [
        ("赛博朋克/夜景.png", "gbk"),
        ("赛博朋克/夜景.txt", "gbk"),
        ("cat.png", None),
    ]
    (german,) = intake.add("deutsch.zip", io.BytesIO(zipped({entry("Müller.png".encode("cp437")): picture()})))
    assert (german.name, german.guess) == ("Müller.png", "cp437")


def test_what_is_no_picture_or_text_is_left_out_and_named(intake: Intake, picture: Picture) -> None:
    files = {"cat.png": picture(), "logo.svg": b"<svg/>", "run.exe": b"MZ", "broken.png": picture()[:200], "empty.txt": b""}
    taken = {item.name: item for item in intake.add("set.zip", io.BytesIO(zipped(files)))}
    assert taken["cat.png"].refused == ""
    assert {name: bool(item.file) for name, item in taken.items()} == {name: name == "cat.png" for name in files}
    for name, reason in (("logo.svg", "format"), ("run.exe", "kind of file"), ("broken.png", "broken"), ("empty.txt", "empty")):
        assert taken[name].refused.startswith(f"{name}: ")
        assert reason in taken[name].refused
    assert len(intake.captions()) == 1
