import io
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from lorafleet.console.uploads.decoder import Decoder, DecoderPool, thumbnail
from lorafleet.console.uploads.limits import MIB
from lorafleet.console.uploads.refusals import UploadRefused
from tests.unit.console.uploads.conftest import Picture


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    decoder = Decoder(seconds=120)
    yield decoder
    decoder.close()


def written(folder: Path, data: bytes) -> Path:
    path = folder / "image"
    path.write_bytes(data)
    return path


def test_a_thumbnail_is_encoded_anew(tmp_path: Path, picture: Picture) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x013B] = "John Doe"
    small = thumbnail(written(tmp_path, picture("JPEG", (300, 200), exif=exif)), 64)
    assert b"John Doe" not in small
    with Image.open(io.BytesIO(small)) as image:
        assert (image.format, image.size) == ("WEBP", (43, 64))


def test_a_small_picture_is_not_enlarged(tmp_path: Path, picture: Picture) -> None:
    with Image.open(io.BytesIO(thumbnail(written(tmp_path, picture(size=(20, 10))), 256))) as image:
        assert image.size == (20, 10)


@pytest.mark.parametrize("size", [0, -1, 15, 1025])
def test_sizes_that_are_not_made(tmp_path: Path, picture: Picture, size: int) -> None:
    with pytest.raises(UploadRefused, match="16 to 1024"):
        thumbnail(written(tmp_path, picture()), size)


def test_a_killed_process_costs_one_picture(decoder: Decoder, tmp_path: Path, picture: Picture) -> None:
    path = written(tmp_path, picture())
    decoder.thumbnail(path, 32, "cat.png")
    assert decoder._process is not None
    # Stopped, so that it dies with the request in its hands.
    os.kill(decoder._process.pid, signal.SIGSTOP)
    timer = threading.Timer(0.2, decoder._process.kill)
    timer.start()
    with pytest.raises(UploadRefused, match=r"cat\.png: it breaks the decoder"):
        decoder.thumbnail(path, 32, "cat.png")
    timer.join()
    assert decoder.thumbnail(path, 32, "cat.png")


def test_what_takes_too_long_is_ended() -> None:
    decoder = Decoder(seconds=1.0)
    try:
        with pytest.raises(UploadRefused, match="longer than 1 s"):
            decoder.substitute({"a": "a" * 60 + "!"}, r"(a+)+$", "")
        assert decoder.substitute({"a": "aab"}, "a+", "x") == {"a": "xb"}
    finally:
        decoder.close()


def test_what_needs_too_much_memory_is_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.new("RGBA", (4000, 4000), (1, 2, 3, 4)).save(out, "PNG", compress_level=1)
    decoder = Decoder(memory_bytes=400 * MIB)
    try:
        with pytest.raises(UploadRefused, match="memory"):
            decoder.take(written(tmp_path, out.getvalue()), tmp_path / "out", 40_000_000, "big.png")
    finally:
        decoder.close()


def test_texts_that_need_too_much_memory_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_bytes(b"[" + b"{}," * 1_500_000 + b"{}]")
    decoder = Decoder(memory_bytes=300 * MIB)
    try:
        with pytest.raises(UploadRefused, match="the text set: it needs too much memory"):
            decoder.check(tmp_path, {"rows.json": "rows.json"}, 8)
    finally:
        decoder.close()


def test_the_largest_that_is_allowed_fits(decoder: Decoder, tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.new("RGBA", (6324, 6324), (1, 2, 3, 4)).save(out, "PNG", compress_level=1)
    assert decoder.take(written(tmp_path, out.getvalue()), tmp_path / "out", 40_000_000, "big.png").width == 6324


def test_the_process_knows_no_secret(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-hush")
    decoder.substitute({}, "a", "b")
    assert decoder._process is not None
    assert b"hush-hush" not in Path(f"/proc/{decoder._process.pid}/environ").read_bytes()


def test_large_requests_and_answers_pass(decoder: Decoder) -> None:
    texts = {str(number): "cat " * 500 for number in range(1000)}
    assert decoder.substitute(texts, "cat", "dog")["7"] == "dog " * 500


def test_a_pool_lends_each_to_one(tmp_path: Path) -> None:
    pool = DecoderPool(count=2)
    with pool.borrowed() as one, pool.borrowed() as two:
        assert one is not two
    pool.close()
