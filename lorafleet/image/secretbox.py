"""NaCl's secretbox: XSalsa20 and Poly1305, for the short private keys that cosign encrypts with it.

The ciphers are those of Bernstein's "Extending the Salsa20 nonce" and RFC 8439 (Poly1305, from ``cryptography``). Plain Python is
slow, which a hundred bytes do not notice, and not constant in time, which matters to nobody who cannot already run programs here.
"""

import struct
from itertools import count

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.poly1305 import Poly1305

KEY_BYTES, NONCE_BYTES = 32, 24
_TAG_BYTES = 16
_CONSTANTS = struct.unpack("<4I", b"expand 32-byte k")
_WORD = 0xFFFFFFFF
_DIAGONAL = (0, 5, 10, 15)
# Each quarter round's four places: down the columns, then along the rows.
_QUARTERS = (
    (0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11),
    (0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14),
)  # fmt: skip


def seal(plain: bytes, nonce: bytes, key: bytes) -> bytes:
    """Encrypt: the tag, then the ciphertext."""
    stream = _stream(nonce, key, KEY_BYTES + len(plain))
    hidden = _xor(plain, stream[KEY_BYTES:])
    return Poly1305.generate_tag(stream[:KEY_BYTES], hidden) + hidden


def open_sealed(sealed: bytes, nonce: bytes, key: bytes) -> bytes | None:
    """Decrypt; None where key, nonce or content is another."""
    tag, hidden = sealed[:_TAG_BYTES], sealed[_TAG_BYTES:]
    stream = _stream(nonce, key, KEY_BYTES + len(hidden))
    try:
        Poly1305.verify_tag(stream[:KEY_BYTES], hidden, tag)
    except InvalidSignature:
        return None
    return _xor(hidden, stream[KEY_BYTES:])


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def _stream(nonce: bytes, key: bytes, length: int) -> bytes:
    mixed = _rounds(_state(key, nonce[:16]))
    subkey = struct.pack("<8I", *(mixed[place] for place in (*_DIAGONAL, 6, 7, 8, 9)))
    found = b""
    for number in count():
        if len(found) >= length:
            return found[:length]
        state = _state(subkey, nonce[16:] + struct.pack("<Q", number))
        found += struct.pack("<16I", *((a + b) & _WORD for a, b in zip(state, _rounds(state), strict=True)))
    raise AssertionError("a count never ends")


def _state(key: bytes, middle: bytes) -> list[int]:
    words, inner = struct.unpack("<8I", key), struct.unpack("<4I", middle)
    first, second, third, fourth = _CONSTANTS
    return [first, *words[:4], second, *inner, third, *words[4:], fourth]


def _rounds(state: list[int]) -> list[int]:
    x = list(state)
    for _ in range(10):
        for a, b, c, d in _QUARTERS:
            x[b] ^= _rotated(x[a] + x[d], 7)
            x[c] ^= _rotated(x[b] + x[a], 9)
            x[d] ^= _rotated(x[c] + x[b], 13)
            x[a] ^= _rotated(x[d] + x[c], 18)
    return x


def _rotated(word: int, by: int) -> int:
    word &= _WORD
    return ((word << by) | (word >> (32 - by))) & _WORD
