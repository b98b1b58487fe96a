"""Signing an image as cosign does, so that cosign, policy-controller, Kyverno and our own console verify it."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lorafleet.image.keys import SigningKey
from lorafleet.registry import claims, signatures
from lorafleet.registry.errors import NotHeld
from lorafleet.registry.manifests import MANIFEST, Descriptor, Manifest, write_manifest
from lorafleet.registry.repository import Repository

_CONFIG = "application/vnd.oci.image.config.v1+json"
# What cosign writes too: tools that list images want a configuration to read.
_CONFIG_CONTENT = (
    b'{"architecture":"","created":"0001-01-01T00:00:00Z","os":"","rootfs":{"type":"layers","diff_ids":%s},"config":{}}'
)


@dataclass(frozen=True)
class Signed:
    """The manifest of signatures; ``new`` is False where a good one by this key was there before."""

    manifest: str
    new: bool


def sign(repository: Repository, digest: str, key: SigningKey) -> Signed:
    """Sign a digest. Signatures by other keys stay.

    Raises:
        NotHeld: the registry has no such image.
        RegistryError: it cannot be asked or written to.
    """
    try:
        return Signed(signatures.verify(repository, digest, [key.public]).manifest, new=False)
    except signatures.Unsigned:
        pass
    payload = claims.payload_of(f"{repository}", digest)
    layer = repository.upload_bytes(claims.PAYLOAD, payload)
    signature = base64.b64encode(key.sign(payload)).decode()
    layers = [*_standing(repository, digest), {**layer.to_json(), "annotations": {claims.SIGNATURE: signature}}]
    manifest = _manifest(repository, repository.manifest(digest).descriptor, layers)
    repository.put_manifest(manifest)
    repository.point(signatures.tag_of(digest), manifest)
    return Signed(manifest.digest, new=True)


def _standing(repository: Repository, digest: str) -> list[dict[str, Any]]:
    try:
        return [layer.to_json() for layer in repository.manifest(signatures.tag_of(digest)).layers]
    except NotHeld:
        return []


def _manifest(repository: Repository, subject: Descriptor, layers: list[dict[str, Any]]) -> Manifest:
    digests = "[" + ",".join(f'"{layer["digest"]}"' for layer in layers) + "]"
    config = repository.upload_bytes(_CONFIG, _CONFIG_CONTENT % digests.encode())
    values: Mapping[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": signatures.ARTIFACT,
        "config": config.to_json(),
        "layers": layers,
        # Makes the same manifest one of the image's referrers.
        "subject": {"mediaType": subject.media_type, "digest": subject.digest, "size": subject.size},
    }
    return write_manifest(values)
