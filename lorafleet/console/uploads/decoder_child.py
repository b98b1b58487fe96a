"""The process that decodes pictures and parses texts of strangers: it holds no secret, has little memory, and may be killed.

It reads one JSON object a line and answers with one a line, see :mod:`.decoder`.
"""

import json
import os
import re
import resource
import sys
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from lorafleet.console.uploads.image_metadata import BrokenImageError, strip_metadata
from lorafleet.console.uploads.text_checks import captions_of_table, check_text_files, findings_as_data
from lorafleet.contracts.problems import DataError
from lorafleet.datasets.images import open_rgb
from lorafleet.datasets.similarity import dhash

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_ORIENTATION_TAG = 0x0112


class _RefusedError(Exception):
    """Its text is the answer."""


def take(path: str, out: str, pixels: int) -> dict[str, Any]:
    """Check a picture, write it to ``out`` without metadata, and say what it is."""
    data = Path(path).read_bytes()
    try:
        with Image.open(BytesIO(data), formats=_FORMATS) as image:
            # Pillow calls a JPEG with a second picture behind it MPO.
            image_format = "JPEG" if image.format == "MPO" else str(image.format)
            width, height = image.size
            if width * height > pixels:
                raise _RefusedError(f"the picture has {width} x {height} pixels, more than {pixels // 1_000_000} megapixels")
            if image_format != "JPEG" and getattr(image, "n_frames", 1) > 1:
                raise _RefusedError("the picture is animated")
            if image_format == "PNG":
                # Its EXIF data may lie behind the pixels.
                image.load()
            orientation = _orientation(image)
    except Image.DecompressionBombError:
        raise _RefusedError(f"the picture has more than {pixels // 1_000_000} megapixels") from None
    except UnidentifiedImageError:
        raise _RefusedError("this is not a PNG, JPEG, WebP or BMP picture") from None
    clean = strip_metadata(data, image_format, orientation)
    Path(out).write_bytes(clean)
    upright = open_rgb(Path(out))
    return {
        "format": image_format,
        "width": upright.width,
        "height": upright.height,
        "dhash": dhash(upright),
        "size": len(clean),
        "sha256": sha256(clean).hexdigest(),
    }


def thumbnail(path: str, size: int) -> dict[str, Any]:
    """A picture made small, as WebP in base64."""
    image = open_rgb(Path(path))
    image.thumbnail((size, size), Image.Resampling.LANCZOS)
    out = BytesIO()
    image.save(out, "WEBP", quality=80)
    return {"image": b64encode(out.getvalue()).decode()}


def substitute(texts: dict[str, str], find: str, replace: str) -> dict[str, Any]:
    """Texts with a regular expression replaced. It is here because a bad expression takes forever."""
    try:
        pattern = re.compile(find)
        return {"texts": {name: pattern.sub(replace, text) for name, text in texts.items()}}
    except (re.error, IndexError, RecursionError, OverflowError) as error:
        raise _RefusedError(f"the pattern or its replacement is wrong: {error}") from None


def captions(table: str, names: list[str]) -> dict[str, Any]:
    """The captions of a table."""
    found = captions_of_table(Path(table), names)
    return {"texts": dict(found.texts), "findings": findings_as_data(found.findings)}


def check(folder: str, labels: dict[str, str], lora_rank: int) -> dict[str, Any]:
    """The report of a text set."""
    report = check_text_files(Path(folder), labels, lora_rank)
    return {"findings": findings_as_data(report.findings), "histogram": dict(report.histogram), "count": report.count}


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001  (broken EXIF data is common, and nothing else is asked of it)
        return 1


_WORK: dict[str, Callable[..., dict[str, Any]]] = {
    "take": take,
    "thumbnail": thumbnail,
    "substitute": substitute,
    "captions": captions,
    "check": check,
}


def _answer(line: str) -> dict[str, Any]:
    request = json.loads(line)
    try:
        return _WORK[request.pop("work")](**request)
    except (_RefusedError, BrokenImageError) as error:
        return {"refused": str(error)}
    except DataError as error:
        return {"refused": error.problems[0].what}
    except MemoryError:
        return {"refused": "it needs too much memory"}
    except Exception as error:  # noqa: BLE001  (a decoder fed with broken bytes raises what it likes)
        return {"refused": f"it is broken ({type(error).__name__})"}


def main(memory_bytes: int, file_bytes: int) -> None:
    """Answer until standard input ends."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    # A library that writes to standard output must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        print(json.dumps(_answer(line)), file=answers, flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
