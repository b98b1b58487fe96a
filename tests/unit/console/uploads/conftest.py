import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lorafleet.console.uploads.intake import Intake
from lorafleet.console.uploads.limits import Limits
from lorafleet.console.uploads.shelves import FolderShelf

Picture = Callable[..., bytes]


class RawName(zipfile.ZipInfo):
    """An entry whose name is written as these bytes, with or without the flag that says UTF-8."""

    raw: bytes
    flag: int

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:
        return self.raw, self.flag


def entry(raw: bytes | str, utf8: bool = False) -> zipfile.ZipInfo:
    info = RawName(repr(raw).encode("ascii", "backslashreplace").decode())
    info.raw = raw.encode() if isinstance(raw, str) else raw
    info.flag = 0x800 if utf8 else 0
    return info


def zipped(files: Mapping[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data, compression)
    return out.getvalue()


@pytest.fixture(scope="session")
def picture() -> Picture:
    """A picture that no other is like."""
    source = np.random.default_rng(7)

    def make(file_format: str = "PNG", size: tuple[int, int] = (48, 40), **options: object) -> bytes:
        out = io.BytesIO()
        pixels = source.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(out, file_format, **options)
        return out.getvalue()

    return make


@pytest.fixture
def intake(tmp_path: Path) -> Intake:
    return Intake(FolderShelf(tmp_path / "staging"), Limits(min_free_bytes=0))


def add(intake: Intake, name: str, data: bytes) -> list[str]:
    """The stored files' names."""
    return [taken.file for taken in intake.add(name, io.BytesIO(data))]
