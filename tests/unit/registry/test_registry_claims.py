"""What the real cosign wrote is read, and nothing that only looks like it."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st

from lorafleet.contracts.problems import ConfigError, NoInputError
from lorafleet.registry.claims import bundle, payload_of, simple_signing
from lorafleet.registry.signatures import PublicKey, read_public_key

VECTORS: dict[str, str] = json.loads((Path(__file__).parents[2] / "plugin" / "cosign_vectors.json").read_text())
PAYLOAD = VECTORS["payload"].encode()


def public_key() -> PublicKey:
    key: Any = load_pem_public_key(VECTORS["public"].encode())
    return PublicKey("cosign.pub", key)


def test_the_payload_is_byte_for_byte_cosign_s() -> None:
    assert payload_of("registry.example.org/lorafleet/trainer", VECTORS["digest"]) == PAYLOAD


def test_cosign_2_s_signature_is_read_and_good() -> None:
    claim = simple_signing(PAYLOAD, VECTORS["signature"])
    assert claim is not None
    assert (claim.digest, claim.reference) == (VECTORS["digest"], "registry.example.org/lorafleet/trainer")
    assert public_key().signed(claim.signed, claim.signatures[0])


def test_cosign_3_s_bundle_is_read_and_good() -> None:
    claim = bundle(VECTORS["bundle"].encode())
    assert claim is not None
    assert (claim.digest, claim.reference) == (VECTORS["digest"], "")
    assert public_key().signed(claim.signed, claim.signatures[0])


@pytest.mark.parametrize("place", [0, len(PAYLOAD) // 2, len(PAYLOAD) - 1])
def test_one_other_byte_and_the_signature_is_bad(place: int) -> None:
    changed = bytearray(PAYLOAD)
    changed[place] ^= 1
    assert not public_key().signed(bytes(changed), base64.b64decode(VECTORS["signature"]))
    assert not public_key().signed(PAYLOAD, b"no signature")


def changed_bundle(**changes: Any) -> bytes:
    values = json.loads(VECTORS["bundle"])
    statement = json.loads(base64.b64decode(values["dsseEnvelope"]["payload"])) | changes
    values["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    return json.dumps(values).encode()


def test_a_bundle_that_attests_something_else_signs_no_image() -> None:
    assert bundle(changed_bundle()) is not None
    assert bundle(changed_bundle(predicateType="https://cyclonedx.org/bom")) is None
    assert bundle(changed_bundle(subject=[])) is None
    two = [{"digest": {"sha256": "a" * 64}}, {"digest": {"sha256": "b" * 64}}]
    assert bundle(changed_bundle(subject=two)) is None


def test_a_payload_of_another_type_signs_no_image() -> None:
    other = json.loads(PAYLOAD)
    other["critical"]["type"] = "atomic container signature"
    assert simple_signing(json.dumps(other).encode(), VECTORS["signature"]) is None
    assert simple_signing(PAYLOAD, "not base64!") is None


@given(
    st.binary(max_size=200)
    | st.sampled_from([b"[]", b"null", b"{}", b'{"dsseEnvelope":[]}', b'{"critical":{"type":1}}', b"[" * 100_000])
)
def test_any_other_bytes_are_no_claim(content: bytes) -> None:
    assert bundle(content) is None
    assert simple_signing(content, VECTORS["signature"]) is None


def test_a_public_key_is_read_and_anything_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cosign.pub"
    path.write_text(VECTORS["public"])
    assert read_public_key(path).name == "cosign.pub"
    path.write_text(VECTORS["private"])
    with pytest.raises(ConfigError, match=r"no public ECDSA key in PEM \(name the .pub file\)"):
        read_public_key(path)
    with pytest.raises(NoInputError, match="cannot be read"):
        read_public_key(tmp_path / "none.pub")
