"""Signatures as cosign keeps them, by keys that are known: in a manifest under the tag ``sha256-….sig``, or among the referrers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from lorafleet.contracts.problems import ConfigError, NoInputError
from lorafleet.registry.claims import BUNDLE, PAYLOAD, SIGNATURE, Claim, bundle, simple_signing
from lorafleet.registry.errors import NotHeld, RegistryError
from lorafleet.registry.manifests import EMPTY, Descriptor, Manifest
from lorafleet.registry.repository import Repository

ARTIFACT = "application/vnd.dev.cosign.artifact.sig.v1+json"
# Cosign's library notes the configuration's type, which says nothing, where a registry leaves the list of referrers to it.
_KINDS = frozenset({ARTIFACT, BUNDLE, EMPTY, ""})
_LARGEST_LAYER = 1 << 20
_MOST_MANIFESTS = 50


@dataclass(frozen=True)
class PublicKey:
    """A key that images may be signed with. ``name`` is its file's."""

    name: str
    key: ec.EllipticCurvePublicKey = field(repr=False)

    def signed(self, content: bytes, signature: bytes) -> bool:
        """Whether the signature is this key's: ECDSA over the content's SHA-256."""
        try:
            self.key.verify(signature, content, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class Verified:
    """A good signature of a digest: by which key, for which image's name (if it says so), and the manifest that holds it."""

    key: PublicKey
    reference: str
    manifest: str


class Unsigned(RegistryError):
    """No good signature by any of the keys is there."""


def read_public_key(path: Path) -> PublicKey:
    """Read a PEM file such as ``cosign.pub``.

    Raises:
        NoInputError: it cannot be read.
        ConfigError: it holds no public ECDSA key.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NoInputError(f"cannot be read: {error.strerror}", where=str(path)) from None
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        hint = "name the .pub file" if b"PRIVATE KEY" in content else "make a pair with lorafleet image keygen or cosign"
        raise ConfigError("this is no public ECDSA key in PEM", where=str(path), hint=hint)
    return PublicKey(path.name, key)


def tag_of(digest: str) -> str:
    """The tag of a digest's signatures."""
    return f"{digest.replace(':', '-')}.sig"


def verify(repository: Repository, digest: str, keys: Sequence[PublicKey]) -> Verified:
    """Find a good signature of the digest by one of the keys.

    The image's own manifest is read too and held to the digest, so that a registry which gives another image is found out.

    Raises:
        Unsigned: there is no signature, or none by these keys.
        NotHeld: there is no such image.
        Damaged: the registry gives another image for the digest.
        RegistryError: it cannot be asked.
    """
    repository.manifest(digest)
    where = f"{repository}@{digest}"
    found = False
    for manifest in _manifests(repository, digest):
        for layer in manifest.layers:
            claim = _claim(repository, layer)
            found = found or claim is not None
            key = _signer(claim, digest, keys) if claim is not None else None
            if claim is not None and key is not None:
                return Verified(key, claim.reference, manifest.digest)
    if found:
        names = ", ".join(key.name for key in keys)
        raise Unsigned(f"holds no signature of it by {names}", where=where, hint="sign it with this key")
    raise Unsigned(
        "holds no signature of it",
        where=where,
        hint="lorafleet image sign, then lorafleet image mirror, which copies signatures too",
    )


def _manifests(repository: Repository, digest: str) -> Iterator[Manifest]:
    """Every manifest that may hold signatures, those under the tag first."""
    seen = ""
    try:
        manifest = repository.manifest(tag_of(digest))
        seen = manifest.digest
        yield manifest
    except NotHeld:
        pass
    possible = [each for each in repository.referrers(digest) if each.artifact_type in _KINDS]
    for descriptor in possible[:_MOST_MANIFESTS]:
        if descriptor.digest == seen:
            continue
        try:
            manifest = repository.manifest(descriptor.digest)
        except NotHeld:
            # Listed still, and taken by a clean-up: another one may be good.
            continue
        yield manifest


def _claim(repository: Repository, layer: Descriptor) -> Claim | None:
    if layer.media_type == PAYLOAD and SIGNATURE in layer.annotations:
        return simple_signing(repository.blob(layer, _LARGEST_LAYER), layer.annotations[SIGNATURE])
    return bundle(repository.blob(layer, _LARGEST_LAYER)) if layer.media_type == BUNDLE else None


def _signer(claim: Claim, digest: str, keys: Sequence[PublicKey]) -> PublicKey | None:
    if claim.digest != digest:
        return None
    return next((key for key in keys if any(key.signed(claim.signed, each) for each in claim.signatures)), None)
