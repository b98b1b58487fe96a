import io
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from lorafleet.console.uploads.image_metadata import BrokenImageError, strip_metadata
from lorafleet.datasets.images import open_rgb

PIXELS = np.random.default_rng(1).integers(0, 255, (21, 34, 3), dtype=np.uint8)
SECRETS = (b"Berlin", b"GPSInfo", b"John Doe", b"my prompt")


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = orientation
    found[0x013B] = "John Doe"
    found.get_ifd(0x8825)[1] = "N"
    found.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    found[0x010E] = "GPSInfo of Berlin"
    return found


def saved(image_format: str, orientation: int, mode: str = "RGB", **options: object) -> bytes:
    out = io.BytesIO()
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">Berlin</x:xmpmeta>'
    if image_format == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_text("parameters", "my prompt")
        info.add_text("Comment", "Berlin " * 50, zip=True)
        info.add_itxt("XML:com.adobe.xmp", xmp.decode())
        options = {"pnginfo": info, **options}
    elif image_format == "JPEG":
        options = {"comment": b"John Doe", "xmp": xmp, **options}
    else:
        options = {"xmp": xmp, **options}
    Image.fromarray(PIXELS).convert(mode).save(out, image_format, exif=exif(orientation), **options)
    return out.getvalue()


def pixels(data: bytes, folder: Path) -> bytes:
    path = folder / "image"
    path.write_bytes(data)
    return open_rgb(path).tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("image_format", "mode", "options"),
    [
        ("JPEG", "RGB", {}),
        ("JPEG", "RGB", {"progressive": True, "quality": 95}),
        ("JPEG", "CMYK", {}),
        ("JPEG", "L", {}),
        ("PNG", "RGB", {}),
        ("PNG", "P", {}),
        ("PNG", "RGBA", {}),
        ("WEBP", "RGB", {"lossless": True}),
        ("WEBP", "RGBA", {}),
    ],
)
def test_pixels_and_orientation_stay_and_all_else_goes(
    image_format: str, mode: str, options: dict[str, object], orientation: int, tmp_path: Path
) -> None:
    data = saved(image_format, orientation, mode, icc_profile=b"a profile", **options)
    assert any(secret in data for secret in SECRETS)
    clean = strip_metadata(data, image_format, orientation)
    assert not any(secret in clean for secret in SECRETS)
    assert len(clean) < len(data)
    assert pixels(clean, tmp_path) == pixels(data, tmp_path)
    with Image.open(io.BytesIO(clean)) as image:
        assert image.info.get("icc_profile") == b"a profile"
        assert dict(image.getexif()) == ({} if orientation == 1 else {0x0112: orientation})
    assert strip_metadata(clean, image_format, orientation) == clean


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_a_file_is_one_thing(image_format: str) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("evil.js", "alert(1)")
    clean = strip_metadata(saved(image_format, 1) + out.getvalue(), image_format, 1)
    assert b"evil.js" not in clean
    assert not zipfile.is_zipfile(io.BytesIO(clean))


@given(st.sampled_from(["JPEG", "PNG", "WEBP"]), st.data())
def test_what_is_broken_ends_in_an_error_or_a_shorter_file(image_format: str, data: st.DataObject) -> None:
    good = saved(image_format, 6)
    cut = data.draw(st.integers(0, len(good)))
    at = data.draw(st.integers(0, len(good) - 1))
    broken = (good[:at] + data.draw(st.binary(min_size=1, max_size=3)) + good[at + 1 :])[:cut]
    clean = b""
    with suppress(BrokenImageError):
        clean = strip_metadata(broken, image_format, 6)
    assert len(clean) <= len(broken) + 64


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_a_cut_file_is_refused(image_format: str) -> None:
    good = strip_metadata(saved(image_format, 1), image_format, 1)
    for length in range(0, len(good) - 1, 7):
        with pytest.raises(BrokenImageError):
            strip_metadata(good[:length], image_format, 1)
