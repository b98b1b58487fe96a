"""What the names in a zip archive are. Old programs wrote them in the code page of their country, and did not say which.

Sources: APPNOTE.TXT 6.3.10, 4.4.4 (bit 11 means UTF-8) and 4.6.9 (the Unicode path field). Pure.
"""

import struct
import zlib
from collections.abc import Iterable, Sequence

_UNICODE_PATH = 0x7075


def guess_encoding(names: Iterable[bytes]) -> str | None:
    """The encoding of names that do not say theirs, all of one archive; None where they are plain ASCII.

    UTF-8 where they are valid UTF-8; GBK where they are valid and most of their characters are of its common part, GB2312; otherwise
    CP437, which the format prescribes and in which everything is valid.
    """
    telling = [name for name in names if not name.isascii()]
    if not telling:
        return None
    if all(_decodes(name, "utf-8") for name in telling):
        return "utf-8"
    if all(_decodes(name, "gbk") for name in telling):
        pairs = [pair for name in telling for pair in _double_bytes(name)]
        common = sum(0xB0 <= first <= 0xF7 and second >= 0xA1 for first, second in pairs)
        if 2 * common > len(pairs):
            return "gbk"
    return "cp437"


def unicode_path(extra: bytes, raw: bytes) -> str | None:
    """The name in an entry's Unicode path field, where it has one that belongs to its raw name."""
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, position)
        body = extra[position + 4 : position + 4 + length]
        if kind == _UNICODE_PATH and len(body) > 5 and body[0] == 1 and struct.unpack_from("<I", body, 1)[0] == zlib.crc32(raw):
            text = body[5:]
            return text.decode() if _decodes(text, "utf-8") else None
        position += 4 + length
    return None


def _decodes(name: bytes, encoding: str) -> bool:
    try:
        name.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _double_bytes(name: bytes) -> Sequence[tuple[int, int]]:
    pairs, position = [], 0
    while position < len(name):
        if name[position] >= 0x81:
            pairs.append((name[position], name[position + 1]))
            position += 2
        else:
            position += 1
    return pairs
