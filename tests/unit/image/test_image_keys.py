"""Keys as the real cosign writes them, and as we do."""

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from lorafleet.cli import main
from lorafleet.contracts.outcomes import ExitCode
from lorafleet.contracts.problems import ConfigError, NoInputError, UsageError
from lorafleet.image import secretbox
from lorafleet.image.keys import read_password, read_signing_key
from lorafleet.registry.signatures import read_public_key

VECTORS: dict[str, str] = json.loads((Path(__file__).parents[2] / "plugin" / "cosign_vectors.json").read_text())
# Of the curve secp112r1.
UNKNOWN_CURVE = {
    "EC PRIVATE KEY": "MD4CAQEEDkHPs4Ioml2Ua4aRM4KWoAcGBSuBBAAGoSADHgAEIrlbZGbS3vZtTF25mLXM9MxSjN/WKjbwPZeI9A==",
    "PUBLIC KEY": "MDIwEAYHKoZIzj0CAQYFK4EEAAYDHgAEIrlbZGbS3vZtTF25mLXM9MxSjN/WKjbwPZeI9A==",
}


def test_secretbox_is_nacl_s() -> None:
    # NaCl's tests/secretbox.c
    key = bytes.fromhex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389")
    nonce = bytes.fromhex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37")
    plain = bytes.fromhex(
        "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f41db66cce314adb31"
        "0e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f93776384864"
        "5e0705"
    )
    sealed = bytes.fromhex(
        "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b4da7f011ec48c972"
        "71d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b3"
        "7973f622a43d14a6599b1f654cb45a74e355a5"
    )
    assert secretbox.seal(plain, nonce, key) == sealed
    assert secretbox.open_sealed(sealed, nonce, key) == plain


@given(st.binary(max_size=300), st.binary(min_size=24, max_size=24), st.binary(min_size=32, max_size=32), st.integers(0, 10_000))
def test_what_was_sealed_opens_and_what_was_changed_does_not(plain: bytes, nonce: bytes, key: bytes, place: int) -> None:
    sealed = secretbox.seal(plain, nonce, key)
    assert secretbox.open_sealed(sealed, nonce, key) == plain
    changed = bytearray(sealed)
    changed[place % len(sealed)] ^= 1
    assert secretbox.open_sealed(bytes(changed), nonce, key) is None


def key_file(folder: Path, content: str | bytes) -> Path:
    path = folder / "some.key"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_cosign_s_own_key_signs_what_its_public_half_verifies(tmp_path: Path) -> None:
    public = tmp_path / "cosign.pub"
    public.write_text(VECTORS["public"])
    for kind in ("SIGSTORE", "COSIGN"):
        key = read_signing_key(key_file(tmp_path, VECTORS["private"].replace("SIGSTORE", kind)), b"pass")
        assert read_public_key(public).signed(b"words", key.sign(b"words"))
        assert not read_public_key(public).signed(b"other words", key.sign(b"words"))
        assert "PRIVATE" not in repr(key)


@pytest.mark.parametrize("password", [None, b"sesame"], ids=["plain", "encrypted"])
def test_pkcs_8_in_pem(tmp_path: Path, password: bytes | None) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    cover = BestAvailableEncryption(password) if password else NoEncryption()
    path = key_file(tmp_path, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, cover))
    assert read_signing_key(path, b"sesame").public.signed(b"x", private.sign(b"x", ec.ECDSA(SHA256())))
    if password:
        with pytest.raises(UsageError, match="does not open the key"):
            read_signing_key(path, b"simsim")


def test_wrong_and_missing_passphrases(tmp_path: Path) -> None:
    path = key_file(tmp_path, VECTORS["private"])
    with pytest.raises(UsageError, match="set COSIGN_PASSWORD, or name a file"):
        read_signing_key(path, None)
    with pytest.raises(UsageError, match="this passphrase does not open the key"):
        read_signing_key(path, b"word")
    with pytest.raises(NoInputError, match="cannot be read"):
        read_signing_key(tmp_path / "none.key", b"pass")


def too_expensive() -> str:
    """A file whose passphrase would take terabytes of memory to try."""
    lines = VECTORS["private"].strip().splitlines()
    values = json.loads(base64.b64decode("".join(lines[1:-1])))
    values["kdf"]["params"] = {"N": 1 << 40, "r": 8, "p": 1}
    return "\n".join([lines[0], base64.b64encode(json.dumps(values).encode()).decode(), lines[-1]])


@pytest.mark.parametrize("kind", ["ed25519", "public", "text", "cut off", "too expensive"])
def test_what_is_no_key(tmp_path: Path, kind: str) -> None:
    content = {
        "ed25519": ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "public": VECTORS["public"].encode(),
        "text": b"tell-nobody",
        "cut off": VECTORS["private"][:200].encode() + b"\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n",
        "too expensive": too_expensive().encode(),
    }[kind]
    with pytest.raises(ConfigError, match="no private ECDSA key") as caught:
        read_signing_key(key_file(tmp_path, content), b"pass")
    assert "tell-nobody" not in str(caught.value)


def test_a_key_of_a_curve_that_is_not_known_here(tmp_path: Path) -> None:
    private, public = (f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n" for kind, body in UNKNOWN_CURVE.items())
    with pytest.raises(ConfigError, match="no private ECDSA key"):
        read_signing_key(key_file(tmp_path, private.encode()), None)
    with pytest.raises(ConfigError, match="no public ECDSA key"):
        read_public_key(key_file(tmp_path, public.encode()))


def test_keygen_leaves_no_half_of_a_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSIGN_PASSWORD", "word")
    (tmp_path / "cosign.pub").write_text("another's")
    assert main(["image", "keygen", "--dir", str(tmp_path)]) == ExitCode.USAGE
    assert [path.name for path in tmp_path.iterdir()] == ["cosign.pub"]
    assert (tmp_path / "cosign.pub").read_text() == "another's"


def test_keygen_writes_a_pair_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("COSIGN_PASSWORD", raising=False)
    assert main(["image", "keygen", "--dir", str(tmp_path)]) == ExitCode.USAGE
    assert "a key needs a passphrase" in capsys.readouterr().err
    (tmp_path / "password").write_text("from a file\n")
    words = ["image", "keygen", "--dir", str(tmp_path), "--password-file", str(tmp_path / "password")]
    assert main(words) == 0
    assert (tmp_path / "cosign.key").stat().st_mode & 0o777 == 0o600
    assert main(words) == ExitCode.USAGE
    assert "is there already" in capsys.readouterr().err
    password = read_password(tmp_path / "password")
    key = read_signing_key(tmp_path / "cosign.key", password)
    assert read_public_key(tmp_path / "cosign.pub").signed(b"x", key.sign(b"x"))


def test_the_passphrase_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    assert read_password(None, {"COSIGN_PASSWORD": "word"}) == b"word"
    assert read_password(None, {}) is None
    with pytest.raises(NoInputError):
        read_password(tmp_path / "none", {})
