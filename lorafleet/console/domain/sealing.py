"""Sealing text: AES-256-GCM under a key that HKDF makes of the console's secret. Pure but for the random nonce.

A sealed text is ``v1.<key>.<nonce and ciphertext>``, where ``<key>`` names the key, so that one sealed under another is known
without trying. What it is about, such as team and name, is sealed in: a row that is copied to another team or name does not open.
"""

import base64
import json
import os
from collections.abc import Sequence
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_VERSION = "v1"
_NONCE = 12


class Unreadable(Exception):
    """No key at hand opens this, or it was changed."""


class Sealer:
    """Seals for one ``purpose``, which has its own keys, under the first of the console's ``secrets``; opens under any of them."""

    def __init__(self, purpose: str, secrets: Sequence[str]) -> None:
        keys = [_key(purpose, secret) for secret in secrets]
        self._keys = {_name(key): AESGCM(key) for key in keys}
        self._newest = _name(keys[0])

    def seal(self, value: str, *about: str) -> str:
        """The sealed text of a value."""
        nonce = os.urandom(_NONCE)
        ciphertext = self._keys[self._newest].encrypt(nonce, value.encode(), _bound(about))
        return f"{_VERSION}.{self._newest}.{base64.b64encode(nonce + ciphertext).decode()}"

    def open(self, sealed: str, *about: str) -> str:
        """The value.

        Raises:
            Unreadable: it was sealed under a key that is not at hand, is about something else, or was changed.
        """
        version, _, rest = sealed.partition(".")
        key, _, text = rest.partition(".")
        if version != _VERSION or key not in self._keys:
            raise Unreadable
        try:
            data = base64.b64decode(text, validate=True)
            return self._keys[key].decrypt(data[:_NONCE], data[_NONCE:], _bound(about)).decode()
        except (InvalidTag, ValueError):
            raise Unreadable from None

    def is_newest(self, sealed: str) -> bool:
        """Whether it is sealed under the newest key."""
        return sealed.startswith(f"{_VERSION}.{self._newest}.")


def _key(purpose: str, secret: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"lorafleet {purpose}".encode()).derive(secret.encode())


def _name(key: bytes) -> str:
    return sha256(b"name of " + key).hexdigest()[:12]


def _bound(about: Sequence[str]) -> bytes:
    return json.dumps(about).encode()
