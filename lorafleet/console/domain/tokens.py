"""Bearer tokens as text: ``lf_`` and 43 random characters with a checksum of 6, so that a mistyped or cut one is refused unasked."""

import secrets
import zlib
from hashlib import sha256

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PREFIX = "lf_"
_CHECK = 6


def new_token() -> str:
    """A token with 256 random bits."""
    body = _base62(secrets.randbits(256), 43)
    return f"{_PREFIX}{body}{_checksum(body)}"


def well_formed(text: str) -> bool:
    """Whether the text can be a token at all."""
    body, check = text[len(_PREFIX) : -_CHECK], text[-_CHECK:]
    return text.startswith(_PREFIX) and len(body) == 43 and text.isascii() and _checksum(body) == check


def fingerprint(text: str) -> str:
    """What is stored of a token: its SHA-256. With 256 random bits nothing slower is needed."""
    return sha256(text.encode()).hexdigest()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECK)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
