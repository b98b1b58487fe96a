"""Taking EXIF, GPS, XMP and comments out of image files, without touching a pixel: only the orientation stays.

What follows a picture's end is cut off too, so that no file is two things at once. Formats: JPEG (ITU T.81 annex B), PNG (W3C PNG, third
edition), WebP (RFC 9649). Pure.
"""

import struct
import zlib
from collections.abc import Iterator

_PNG = b"\x89PNG\r\n\x1a\n"
# Colour, transparency and size: what changes how the pixels look. Everything else is text, time, position or unknown.
_PNG_KEPT = (b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"pHYs", b"bKGD", b"hIST", b"cICP", b"mDCV", b"cLLI")
_WEBP_KEPT = (b"VP8X", b"ICCP", b"ALPH", b"VP8 ", b"VP8L")
_WEBP_EXIF, _WEBP_XMP = 0x08, 0x04


class BrokenImageError(Exception):
    """The file's structure is not that of its format. Its text is safe to show."""


def strip_metadata(data: bytes, image_format: str, orientation: int) -> bytes:
    """The same picture without metadata; ``image_format`` is JPEG, PNG, WEBP or BMP, ``orientation`` EXIF's, 1 for upright.

    Raises:
        BrokenImageError: the file cannot be followed to its end.
    """
    orientation = orientation if 1 <= orientation <= 8 else 1
    try:
        if image_format == "JPEG":
            return b"".join(_jpeg(data, orientation))
        if image_format == "PNG":
            return b"".join(_png(data, orientation))
        if image_format == "WEBP":
            return _webp(data, orientation)
    except (IndexError, struct.error):
        raise BrokenImageError("the file ends in the middle") from None
    return data


def _exif(orientation: int) -> bytes:
    """TIFF with one directory that holds one entry."""
    return struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def _jpeg(data: bytes, orientation: int) -> Iterator[bytes]:
    if data[:2] != b"\xff\xd8":
        raise BrokenImageError("the file does not begin as a JPEG")
    yield data[:2]
    exif = b"Exif\0\0" + _exif(orientation)
    pending = struct.pack(">BBH", 0xFF, 0xE1, len(exif) + 2) + exif if orientation != 1 else b""
    position = 2
    while True:
        if data[position] != 0xFF:
            raise BrokenImageError("the file's parts do not follow each other")
        while data[position] == 0xFF:
            position += 1
        marker = data[position]
        position += 1
        if marker != 0xE0 and pending:
            # JFIF's own header must come first.
            yield pending
            pending = b""
        if marker == 0xD9:
            yield b"\xff\xd9"
            return
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            yield bytes((0xFF, marker))
            continue
        (length,) = struct.unpack_from(">H", data, position)
        if length < 2 or position + length > len(data):
            raise BrokenImageError("the file ends in the middle")
        segment = data[position : position + length]
        position += length
        if _is_kept(marker, segment[2:]):
            yield bytes((0xFF, marker)) + segment
        if marker == 0xDA:
            end = _end_of_scan(data, position)
            yield data[position:end]
            position = end


def _is_kept(marker: int, body: bytes) -> bool:
    if marker == 0xE2:
        return body.startswith(b"ICC_PROFILE\0")
    return marker in (0xE0, 0xEE) or not (0xE0 <= marker <= 0xEF or marker == 0xFE)


def _end_of_scan(data: bytes, position: int) -> int:
    while True:
        position = data.find(b"\xff", position)
        if position < 0 or position + 1 >= len(data):
            raise BrokenImageError("the file ends in the middle")
        if data[position + 1] not in (0x00, 0xFF, *range(0xD0, 0xD8)):
            return position
        position += 1 if data[position + 1] == 0xFF else 2


def _png(data: bytes, orientation: int) -> Iterator[bytes]:
    if data[:8] != _PNG:
        raise BrokenImageError("the file does not begin as a PNG")
    yield _PNG
    position, oriented = 8, orientation == 1
    while True:
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise BrokenImageError("the file ends in the middle")
        if kind == b"IDAT" and not oriented:
            body = b"eXIf" + _exif(orientation)
            yield struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
            oriented = True
        # Capital first letter: a part without which there is no picture.
        if kind[:1].isupper() or kind in _PNG_KEPT:
            yield data[position:end]
        if kind == b"IEND":
            return
        position = end


def _webp(data: bytes, orientation: int) -> bytes:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise BrokenImageError("the file does not begin as a WebP")
    (size,) = struct.unpack_from("<I", data, 4)
    end = 8 + size
    if end > len(data):
        raise BrokenImageError("the file ends in the middle")
    chunks: list[tuple[bytes, bytes]] = []
    position = 12
    while position + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, position)
        body = data[position + 8 : position + 8 + length]
        if len(body) != length:
            raise BrokenImageError("the file ends in the middle")
        if kind in _WEBP_KEPT:
            chunks.append((kind, body))
        position += 8 + length + (length & 1)
    if chunks and chunks[0][0] == b"VP8X":
        flags = chunks[0][1][0] & ~(_WEBP_EXIF | _WEBP_XMP)
        if orientation != 1:
            flags |= _WEBP_EXIF
            chunks.append((b"EXIF", _exif(orientation)))
        chunks[0] = (b"VP8X", bytes((flags,)) + chunks[0][1][1:])
    body = b"".join(kind + struct.pack("<I", len(part)) + part + b"\0" * (len(part) & 1) for kind, part in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body
