"""A software bill of materials in CycloneDX 1.6: the Python packages of the lock, and the distribution's packages in the image."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from lorafleet import __version__
from lorafleet.contracts.image import ImageReference
from lorafleet.image import debian
from lorafleet.image.debian import Distribution
from lorafleet.image.lock import Pin
from lorafleet.image.verifying import SBOM
from lorafleet.registry.manifests import EMPTY, EMPTY_CONTENT, MANIFEST, write_manifest
from lorafleet.registry.repository import Repository

_INDEX = "https://pypi.org/simple"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def make_sbom(image: ImageReference, created: datetime, pins: Sequence[Pin], files: Mapping[str, bytes]) -> bytes:
    """The document as JSON, always the same bytes for the same image and contents.

    ``created`` is when the image was made; ``files`` are those that :func:`lorafleet.image.debian.wanted` names.
    """
    repository = f"{image.registry}/{image.repository}"
    url = PackageURL("oci", None, image.name, image.digest, {"repository_url": repository})
    root = Component(name=repository, version=image.digest, type=ComponentType.CONTAINER, purl=url, bom_ref=str(url))
    bom = Bom(serial_number=uuid5(NAMESPACE_URL, str(url)))
    bom.metadata.component = root
    bom.metadata.timestamp = created
    bom.metadata.tools.components.add(Component(name="lorafleet", version=__version__, type=ComponentType.APPLICATION))
    found = debian.distribution(files)
    components = [*map(_python, pins), *_distribution(found, debian.packages(files))]
    bom.components.update(components)
    bom.register_dependency(root, components)
    return JsonV1Dot6(bom).output_as_string(indent=None).encode()


def _python(pin: Pin) -> Component:
    url = PackageURL("pypi", None, pin.name, pin.version)
    # Which of the files was installed depends on the machine that built the image; the lock lets through these alone.
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=each) for each in pin.hashes]
    where = ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=XsUri(f"{_INDEX}/{pin.name}/"), hashes=hashes)
    return Component(
        name=pin.name, version=pin.version, type=ComponentType.LIBRARY, purl=url, bom_ref=str(url), external_references=[where]
    )


def _distribution(found: Distribution, packages: Sequence[debian.Package]) -> Iterator[Component]:
    name, codename = found.id or "debian", found.codename
    for package in packages:
        qualifiers = {"arch": package.architecture} | ({"distro": codename} if codename else {})
        url = PackageURL("deb", name, package.name, package.version, qualifiers)
        yield Component(name=package.name, version=package.version, type=ComponentType.LIBRARY, purl=url, bom_ref=str(url))


def created_of(config: bytes) -> datetime:
    """When an image was made, by its configuration; the epoch where that does not say."""
    try:
        found = datetime.fromisoformat(json.loads(config)["created"])
    except (ValueError, TypeError, KeyError):
        return _EPOCH
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def attach_sbom(repository: Repository, digest: str, content: bytes) -> str:
    """Store the document as a referrer of the image; the same document twice is stored once. The digest of what refers to it.

    Raises:
        NotHeld: there is no such image.
        RegistryError: the registry cannot be asked or written to.
    """
    subject = repository.manifest(digest).descriptor
    config = repository.upload_bytes(EMPTY, EMPTY_CONTENT)
    layer = repository.upload_bytes(SBOM, content)
    values: Mapping[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": SBOM,
        "config": config.to_json(),
        "layers": [layer.to_json()],
        "subject": {"mediaType": subject.media_type, "digest": subject.digest, "size": subject.size},
    }
    manifest = write_manifest(values)
    repository.put_manifest(manifest)
    return manifest.digest
