"""What a signature says, in the two forms that cosign writes. Parsing only: nothing here is believed before a key has verified it."""

import base64
import binascii
import json
from dataclasses import dataclass, field

PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_STATEMENT = "cosign container image signature"
_IN_TOTO = "application/vnd.in-toto+json"
_SIGNED = "https://sigstore.dev/cosign/sign/v1"


@dataclass(frozen=True)
class Claim:
    """That an image with this ``digest`` is the signer's; ``reference`` is its name then, which bundles do not hold."""

    signed: bytes = field(repr=False)
    signatures: tuple[bytes, ...] = field(repr=False)
    digest: str
    reference: str = ""


def payload_of(reference: str, digest: str) -> bytes:
    """The simple-signing payload, always the same bytes for an image's name and digest."""
    identity, image = {"docker-reference": reference}, {"docker-manifest-digest": digest}
    critical = {"identity": identity, "image": image, "type": _STATEMENT}
    return json.dumps({"critical": critical, "optional": None}, separators=(",", ":")).encode()


def simple_signing(payload: bytes, signature: str) -> Claim | None:
    """Cosign's first form: Red Hat's "simple signing" JSON (specs/SIGNATURE_SPEC.md); None where it is none."""
    try:
        critical = json.loads(payload)["critical"]
        if critical["type"] != _STATEMENT:
            return None
        digest, reference = str(critical["image"]["docker-manifest-digest"]), str(critical["identity"]["docker-reference"])
        return Claim(payload, (base64.b64decode(signature, validate=True),), digest, reference)
    except (ValueError, TypeError, KeyError, RecursionError, binascii.Error):
        return None


def bundle(content: bytes) -> Claim | None:
    """What cosign 3 writes: a Sigstore bundle with a DSSE envelope around an in-toto statement; None where it signs no image."""
    try:
        envelope = json.loads(content)["dsseEnvelope"]
        payload = base64.b64decode(envelope["payload"], validate=True)
        statement, kind = json.loads(payload), str(envelope["payloadType"])
        if kind != _IN_TOTO or statement["predicateType"] != _SIGNED:
            return None
        (subject,) = statement["subject"]
        signatures = tuple(base64.b64decode(each["sig"], validate=True) for each in envelope["signatures"])
        return Claim(_pre_authentication_encoding(kind, payload), signatures, f"sha256:{subject['digest']['sha256']}")
    except (ValueError, TypeError, KeyError, RecursionError, binascii.Error):
        return None


def _pre_authentication_encoding(kind: str, payload: bytes) -> bytes:
    """What DSSE signs (protocol.md of secure-systems-lab/dsse)."""
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
