"""The sites' registries of the trials: each holds every release's image, really signed, until a trial takes something away."""

import json
from collections.abc import Iterable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lorafleet.contracts.image import ImageReference
from lorafleet.image.keys import SigningKey
from lorafleet.image.signing import sign
from lorafleet.registry.manifests import MANIFEST, write_manifest
from lorafleet.registry.repository import Registries
from lorafleet.registry.signatures import tag_of
from tests.plugin.loopback_registry import LoopbackRegistry

_PATH = "example"
_REPOSITORY = f"{_PATH}/lora-trainer"


class SignedRegistries:
    """One for each site. ``addresses`` are as a site's facts name them; ``public_key`` is the file to verify with."""

    def __init__(self, sites: Iterable[str], folder: Path) -> None:
        self._registries = {site: LoopbackRegistry() for site in sites}
        self.addresses = {site: f"{registry.host}/{_PATH}" for site, registry in self._registries.items()}
        key = ec.generate_private_key(ec.SECP256R1())
        self._key = SigningKey("trials", key)
        self.public_key = folder / "cosign.pub"
        self.public_key.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))

    def close(self) -> None:
        for registry in self._registries.values():
            registry.close()

    def new_image(self, name: str) -> str:
        """The digest of an image that every site's registry holds, signed."""
        client, digest = Registries(), ""
        for registry in self._registries.values():
            repository = client.repository(ImageReference(_REPOSITORY, registry.host))
            config = repository.upload_bytes("application/vnd.oci.image.config.v1+json", json.dumps({"name": name}).encode())
            image = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config.to_json(), "layers": []}
            manifest = write_manifest(image)
            repository.put_manifest(manifest)
            sign(repository, manifest.digest, self._key)
            digest = manifest.digest
        return digest

    def take_away(self, digest: str, site: str) -> None:
        """The registry does not hold the digest any more."""
        del self._registries[site].repository(_REPOSITORY).manifests[digest]

    def take_signature(self, digest: str, site: str) -> None:
        """The registry holds the image, and no signature of it."""
        here = self._registries[site].repository(_REPOSITORY)
        # The same manifest is what the tag names and what refers to the image.
        del here.manifests[here.tags.pop(tag_of(digest))]
