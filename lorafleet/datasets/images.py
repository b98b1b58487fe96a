"""Image sets: every file is decoded once when the set is read, so that a broken one is found before training."""

import hashlib
import io
import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from lorafleet.contracts.problems import DataError
from lorafleet.datasets.caption_sources import read_captions
from lorafleet.datasets.findings import Code, Finding, Severity, counted, listed
from lorafleet.datasets.image_files import FolderFiles, list_files
from lorafleet.datasets.similarity import dhash

MAX_PIXELS = 100_000_000
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_ORIENTATION_TAG = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow warns on stderr, without the file's name, of odd EXIF data and of more than 89 megapixels; MAX_PIXELS is an error here.
warnings.filterwarnings("ignore", module=r"PIL\.")


@dataclass(frozen=True)
class ImageSample:
    """One readable image.

    ``name`` is its posix path relative to the set. ``width`` and ``height`` are pixels after EXIF orientation. ``sha256`` is the
    file's, in hex. ``dhash`` is its perceptual hash, 0 where it has none.
    """

    path: Path
    name: str
    caption: str
    width: int
    height: int
    sha256: str
    dhash: int = 0


@dataclass(frozen=True)
class ImageSet:
    """The readable images of a folder, sorted by name, and what was found while reading."""

    folder: Path
    samples: tuple[ImageSample, ...]
    findings: tuple[Finding, ...]


def open_rgb(path: Path) -> Image.Image:
    """Decode an image fully: upright, RGB, 8 bits a channel, transparent parts white.

    Raises:
        DataError: the file cannot be read, is truncated, of another format, or has more than ``MAX_PIXELS`` pixels.
    """
    return _decode(_read(path), path)


def read_image_set(folder: Path, metadata: Path | None = None, progress: Callable[[int, int], None] | None = None) -> ImageSet:
    """Read a folder of PNG, JPEG, WebP and BMP files with their captions.

    ``metadata`` is a CSV or JSONL file whose names are relative to ``folder``; by default the folder's own. ``progress`` is called
    from this thread with how many images are decoded of how many; what it raises ends the reading.

    Raises:
        NoInputError: the folder or the metadata file is not there or cannot be read.
        DataError: a caption file is not text.
    """
    files = list_files(folder)
    captions = read_captions(folder, files, metadata)
    findings = [*_about_files(folder, files), *captions.findings]
    samples: list[ImageSample] = []
    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        futures = [pool.submit(_sample, folder / name, name, captions.texts.get(name, "")) for name in files.images]
        for done, future in enumerate(futures, start=1):
            try:
                samples.append(future.result())
            except DataError as error:
                problem = error.problems[0]
                finding = Finding(Code.UNREADABLE_IMAGE, Severity.ERROR, problem.what, problem.where, problem.hint)
                findings.append(finding)
            if progress is not None:
                progress(done, len(futures))
    finally:
        pool.shutdown(cancel_futures=True)
    return ImageSet(folder, tuple(samples), tuple(findings))


def _about_files(folder: Path, files: FolderFiles) -> list[Finding]:
    findings = []
    if files.other_images:
        message = f"{counted(len(files.other_images), 'picture')} of a format that is not read: {listed(files.other_images)}"
        hint = "convert them to PNG, JPEG or WebP"
        findings.append(Finding(Code.UNKNOWN_FORMAT, Severity.WARNING, message, str(folder), hint, files.other_images))
    findings += [
        Finding(Code.BAD_FILE_NAME, Severity.ERROR, "the file's name is not UTF-8", str(folder / name), "rename the file")
        for name in files.unnameable
    ]
    return findings


def _sample(path: Path, name: str, caption: str) -> ImageSample:
    data = _read(path)
    image = _decode(data, path)
    return ImageSample(path, name, caption, image.width, image.height, hashlib.sha256(data).hexdigest(), dhash(image))


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"the image cannot be read: {error.strerror}", where=str(path)) from None
    if not data:
        raise DataError("the image file is empty", where=str(path), hint="replace or remove it")
    return data


def _decode(data: bytes, path: Path) -> Image.Image:
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.width * image.height <= MAX_PIXELS:
                image.load()
                return _upright(_as_rgb(image), _orientation(image))
    except Image.DecompressionBombError:
        pass  # Pillow's own limit is higher.
    except UnidentifiedImageError:
        raise DataError("this is not a PNG, JPEG, WebP or BMP image", where=str(path), hint="replace or remove it") from None
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001
        # A decoder fed with broken bytes raises what it likes: OSError, SyntaxError, ValueError, struct.error, …
        reason = str(error).split("\n", 1)[0] or type(error).__name__
        raise DataError(f"the image is broken or cut off: {reason}", where=str(path), hint="replace or remove it") from None
    raise DataError(f"the image has more than {MAX_PIXELS // 1_000_000} megapixels", where=str(path), hint="scale it down")


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        # Pillow's own conversion clips at 255, so that almost everything becomes white.
        return Image.fromarray((np.asarray(image, dtype=np.uint16) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    # Broken EXIF data is common and no reason to refuse a picture; ImageOps.exif_transpose() would raise.
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001
        return 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)
