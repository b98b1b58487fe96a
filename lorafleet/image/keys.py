"""Private keys to sign images with: cosign's encrypted files, or PKCS 8 in PEM. Their passphrases never stand on a command line."""

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)

from lorafleet.contracts.problems import ConfigError, NoInputError, UsageError
from lorafleet.image import secretbox
from lorafleet.registry.signatures import PublicKey

PASSWORD_VARIABLE = "COSIGN_PASSWORD"  # noqa: S105
"""The same as cosign's own."""
_SEALED = ("ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY")
_SCRYPT = {"N": 65536, "r": 8, "p": 1}
_SALT_BYTES = 32
_MOST_MEMORY = 1 << 28
_LARGEST_FILE = 64 << 10


@dataclass(frozen=True)
class SigningKey:
    """A private key. ``name`` is its file's."""

    name: str
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def public(self) -> PublicKey:
        """What its signatures are verified with."""
        return PublicKey(self.name, self.key.public_key())

    def sign(self, payload: bytes) -> bytes:
        """ECDSA over the payload's SHA-256."""
        return self.key.sign(payload, ec.ECDSA(hashes.SHA256()))


def read_password(path: Path | None, environment: Mapping[str, str] = os.environ) -> bytes | None:
    """The passphrase from a file, else from ``COSIGN_PASSWORD``; None where there is neither.

    Raises:
        NoInputError: the file cannot be read.
    """
    if path is None:
        given = environment.get(PASSWORD_VARIABLE)
        return None if given is None else given.encode()
    try:
        return path.read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise NoInputError(f"cannot be read: {error.strerror}", where=str(path)) from None


def read_signing_key(path: Path, password: bytes | None) -> SigningKey:
    """Read a private key.

    Raises:
        NoInputError: it cannot be read.
        UsageError: it wants a passphrase, or another one.
        ConfigError: it is no private ECDSA key.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE)
    except OSError as error:
        raise NoInputError(f"cannot be read: {error.strerror}", where=str(path)) from None
    sealed = _sealed_part(content)
    if (sealed is not None or b"ENCRYPTED" in content) and password is None:
        hint = f"set {PASSWORD_VARIABLE}, or name a file with --password-file"
        raise UsageError("this key is encrypted, and no passphrase was given", where=str(path), hint=hint)
    try:
        if sealed is not None:
            key = load_der_private_key(_unsealed(sealed, password or b"", path), None)
        else:
            key = load_pem_private_key(content, password if b"ENCRYPTED" in content else None)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, UnsupportedAlgorithm) as error:
        if "password" in str(error).lower():
            raise _wrong_password(path) from None
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        what = "this is no private ECDSA key in PEM, nor one of cosign's"
        raise ConfigError(what, where=str(path), hint="make a pair with lorafleet image keygen or cosign generate-key-pair")
    return SigningKey(path.name, key)


def new_pair(password: bytes) -> tuple[bytes, bytes]:
    """A new P-256 key as cosign writes it: the private file, encrypted, and the public one."""
    key = ec.generate_private_key(ec.SECP256R1())
    plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    salt, nonce = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(secretbox.NONCE_BYTES)
    values = {
        "kdf": {"name": "scrypt", "params": _SCRYPT, "salt": _base64(salt)},
        "cipher": {"name": "nacl/secretbox", "nonce": _base64(nonce)},
        "ciphertext": _base64(secretbox.seal(plain, nonce, _derived(password, salt, _SCRYPT))),
    }
    body = base64.b64encode(json.dumps(values, separators=(",", ":")).encode()).decode()
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    private = "\n".join([f"-----BEGIN {_SEALED[0]}-----", *lines, f"-----END {_SEALED[0]}-----", ""])
    return private.encode(), key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _sealed_part(content: bytes) -> bytes | None:
    text = content.decode("ascii", errors="replace").strip()
    for kind in _SEALED:
        start, end = f"-----BEGIN {kind}-----", f"-----END {kind}-----"
        if text.startswith(start) and text.endswith(end):
            return text[len(start) : -len(end)].encode()
    return None


def _unsealed(part: bytes, password: bytes, path: Path) -> bytes:
    values = json.loads(base64.b64decode(b"".join(part.split()), validate=True))
    if values["kdf"]["name"] != "scrypt" or values["cipher"]["name"] != "nacl/secretbox":
        raise ValueError("another cipher")
    salt, nonce, hidden = (
        base64.b64decode(text, validate=True) for text in (values["kdf"]["salt"], values["cipher"]["nonce"], values["ciphertext"])
    )
    if len(nonce) != secretbox.NONCE_BYTES:
        raise ValueError("another nonce")
    plain = secretbox.open_sealed(hidden, nonce, _derived(password, salt, values["kdf"]["params"]))
    if plain is None:
        raise _wrong_password(path)
    return plain


def _derived(password: bytes, salt: bytes, params: Mapping[str, Any]) -> bytes:
    n, r, p = int(params["N"]), int(params["r"]), int(params["p"])
    return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=_MOST_MEMORY, dklen=secretbox.KEY_BYTES)


def _wrong_password(path: Path) -> UsageError:
    return UsageError(
        "this passphrase does not open the key", where=str(path), hint=f"look at {PASSWORD_VARIABLE} or --password-file"
    )


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
