"""What is known of an image where it lies: its digest, its signature, its list of contents."""

from collections.abc import Sequence
from dataclasses import dataclass

from lorafleet.registry import signatures
from lorafleet.registry.repository import Repository
from lorafleet.registry.signatures import PublicKey, Verified

SBOM = "application/vnd.cyclonedx+json"
"""IANA's media type of CycloneDX in JSON, and the artifact type under which it is attached."""


@dataclass(frozen=True)
class Proof:
    """A good signature, and the digest of the list of what is in the image, empty where there is none."""

    signature: Verified
    sbom: str


def prove(repository: Repository, digest: str, keys: Sequence[PublicKey]) -> Proof:
    """Verify an image.

    Raises:
        Unsigned: no good signature by any of the keys.
        NotHeld: there is no such image.
        Damaged: the registry gives another image for the digest.
        RegistryError: it cannot be asked.
    """
    signature = signatures.verify(repository, digest, keys)
    lists = (each.digest for each in repository.referrers(digest) if each.artifact_type == SBOM)
    # What is listed may have been taken by a clean-up.
    return Proof(signature, next((each for each in lists if repository.find(each) is not None), ""))
