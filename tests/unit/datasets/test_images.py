import hashlib
import io
import os
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from lorafleet.contracts.problems import DataError, NoInputError, Preempted
from lorafleet.datasets.findings import Code, Severity
from lorafleet.datasets.images import open_rgb, read_image_set


def picture(width: int = 40, height: int = 24, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def codes(folder: Path) -> list[Code]:
    return [finding.code for finding in read_image_set(folder).findings]


def test_samples_are_sorted_and_described(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / ".thumbnails").mkdir()
    for name in ("z.png", "b/a.webp", "A.JPG", "m.bmp", "k.jpeg", ".hidden.png", ".thumbnails/t.png"):
        kind = {".png": "PNG", ".webp": "WEBP", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP"}[Path(name).suffix.lower()]
        (tmp_path / name).write_bytes(encoded(picture(), kind))
    (tmp_path / "z.txt").write_text("a  caption\nof two lines\n")
    image_set = read_image_set(tmp_path)
    assert [sample.name for sample in image_set.samples] == ["A.JPG", "b/a.webp", "k.jpeg", "m.bmp", "z.png"]
    last = image_set.samples[-1]
    assert (last.path, last.caption, last.width, last.height) == (tmp_path / "z.png", "a caption of two lines", 40, 24)
    assert last.sha256 == hashlib.sha256((tmp_path / "z.png").read_bytes()).hexdigest()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.png"
    picture().save(path, exif=exif)
    with Image.open(path) as raw:
        expected = ImageOps.exif_transpose(raw).convert("RGB")
    assert np.array_equal(np.asarray(open_rgb(path)), np.asarray(expected))
    (sample,) = read_image_set(tmp_path).samples
    assert (sample.width, sample.height) == expected.size


def test_broken_exif_does_not_cost_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    picture().save(path, exif=b"Exif\x00\x00MM\x00*\x00\x00\xff\xff\x00\x01garbage")
    assert open_rgb(path).size == (40, 24)


def test_transparent_parts_become_white(tmp_path: Path) -> None:
    rgba = Image.new("RGBA", (4, 1))
    for x, pixel in enumerate([(255, 0, 0, 255), (255, 0, 0, 0), (0, 0, 0, 128), (0, 0, 255, 255)]):
        rgba.putpixel((x, 0), pixel)
    expected = [(255, 0, 0), (255, 255, 255), (127, 127, 127), (0, 0, 255)]
    rgba.save(tmp_path / "rgba.png")
    assert list(map(tuple, np.asarray(open_rgb(tmp_path / "rgba.png"))[0].tolist())) == expected
    grey = Image.new("LA", (1, 1), (0, 0))
    grey.save(tmp_path / "la.png")
    assert open_rgb(tmp_path / "la.png").getpixel((0, 0)) == (255, 255, 255)
    palette = Image.new("P", (1, 1), 1)
    palette.putpalette([9, 9, 9, 8, 8, 8])
    palette.save(tmp_path / "p.png", transparency=1)
    assert open_rgb(tmp_path / "p.png").getpixel((0, 0)) == (255, 255, 255)


def test_16_bits_are_scaled_and_cmyk_is_converted(tmp_path: Path) -> None:
    deep = np.array([[0, 256, 32768, 65535]], dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert np.asarray(open_rgb(tmp_path / "deep.png"))[0, :, 0].tolist() == [0, 1, 128, 255]
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "cmyk.jpg")
    red, green, blue = open_rgb(tmp_path / "cmyk.jpg").getpixel((4, 4))  # type: ignore[misc]
    assert red > 200 > 60 > max(green, blue)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
def test_a_file_cut_off_is_found_and_named(tmp_path: Path, kind: str) -> None:
    data = encoded(picture(), kind)
    (tmp_path / "cut.png").write_bytes(data[: len(data) * 2 // 3])
    (tmp_path / "good.png").write_bytes(data)
    image_set = read_image_set(tmp_path)
    assert [sample.name for sample in image_set.samples] == ["good.png"]
    (finding,) = (finding for finding in image_set.findings if finding.code is Code.UNREADABLE_IMAGE)
    assert finding.severity is Severity.ERROR
    assert finding.where == str(tmp_path / "cut.png")
    with pytest.raises(DataError, match=r"cut\.png"):
        open_rgb(tmp_path / "cut.png")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_no_broken_byte_raises_anything_but_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    whole = bytearray(encoded(picture(16, 16), kind))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "fuzzed.img"
    path.write_bytes(whole[: data.draw(st.integers(1, len(whole)))])
    try:
        named = str(path) if open_rgb(path).mode == "RGB" else ""
    except DataError as error:
        named = error.problems[0].where
    assert named == str(path)


def test_a_decompression_bomb_is_refused_before_it_unpacks(tmp_path: Path) -> None:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    for side in (12_000, 100_000):
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
        (tmp_path / "bomb.png").write_bytes(data)
        with pytest.raises(DataError, match="more than 100 megapixels"):
            open_rgb(tmp_path / "bomb.png")


def test_text_and_empty_files_are_no_images(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.jpg").touch()
    messages = {finding.message for finding in read_image_set(tmp_path).findings if finding.code is Code.UNREADABLE_IMAGE}
    assert messages == {"this is not a PNG, JPEG, WebP or BMP image", "the image file is empty"}


def test_formats_that_are_not_read_are_told(tmp_path: Path) -> None:
    (tmp_path / "phone.HEIC").write_bytes(b"x")
    assert codes(tmp_path) == [Code.UNKNOWN_FORMAT]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow only UTF-8 names")
def test_a_name_that_is_not_utf8_is_told(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xc4\xe3.png")).write_bytes(encoded(picture(), "PNG"))
    (finding,) = (finding for finding in read_image_set(tmp_path).findings if finding.code is Code.BAD_FILE_NAME)
    finding.where.encode("utf-8")


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    inner = tmp_path / "set" / "inner"
    inner.mkdir(parents=True)
    (inner / "a.png").write_bytes(encoded(picture(), "PNG"))
    (inner / "loop").symlink_to(tmp_path / "set")
    assert [sample.name for sample in read_image_set(tmp_path / "set").samples] == ["inner/a.png"]


def test_a_folder_that_is_not_there_or_is_a_file(tmp_path: Path) -> None:
    with pytest.raises(NoInputError, match="no such folder"):
        read_image_set(tmp_path / "nope")
    (tmp_path / "a.png").write_bytes(encoded(picture(), "PNG"))
    with pytest.raises(NoInputError, match="a file, not a folder"):
        read_image_set(tmp_path / "a.png")


def test_progress_is_reported_and_may_end_the_reading(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.png").write_bytes(encoded(picture(seed=number), "PNG"))
    seen: list[tuple[int, int]] = []
    read_image_set(tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(number, 5) for number in range(1, 6)]

    def stop(done: int, total: int) -> None:
        raise Preempted("told to stop")

    with pytest.raises(Preempted):
        read_image_set(tmp_path, progress=stop)
