import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafleet.console.uploads.zip_names import guess_encoding, unicode_path


@pytest.mark.parametrize(
    ("names", "encoding", "guess"),
    [
        (["cat.png", "dog.png"], "ascii", None),
        (["赛博朋克/夜景 01.png", "cat.png", "说明.txt"], "gbk", "gbk"),
        (["女孩在雨中.png"], "gbk", "gbk"),
        (["Müller.png", "café/Größe.jpg"], "cp437", "cp437"),
        (["naïve.png"], "cp437", "cp437"),
        (["猫.png", "é.png"], "utf-8", "utf-8"),
    ],
)
def test_what_people_have(names: list[str], encoding: str, guess: str | None) -> None:
    assert guess_encoding(name.encode(encoding) for name in names) == guess


@given(st.lists(st.binary(max_size=12), max_size=5))
def test_the_guess_decodes_every_name(names: list[bytes]) -> None:
    guess = guess_encoding(names)
    for name in names:
        name.decode(guess or "ascii")


def field(kind: int, body: bytes) -> bytes:
    return struct.pack("<HH", kind, len(body)) + body


def test_the_unicode_path_field() -> None:
    raw = "猫.png".encode("gbk")
    good = struct.pack("<BI", 1, zlib.crc32(raw)) + "猫.png".encode()
    assert unicode_path(field(1, b"other") + field(0x7075, good), raw) == "猫.png"
    assert unicode_path(field(0x7075, good), b"renamed since") is None
    assert unicode_path(field(0x7075, good[:-1] + b"\xff"), raw) is None
    assert unicode_path(b"", raw) is None


@given(st.binary(max_size=40), st.binary(max_size=10))
def test_garbage_is_no_unicode_path(extra: bytes, raw: bytes) -> None:
    assert unicode_path(extra, raw) is None
