"""Manifests of the OCI image specification 1.1 and of Docker's version 2: what they are made of, and what they point to."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from types import MappingProxyType
from typing import Any

from lorafleet.contracts.image import DIGEST
from lorafleet.registry.errors import Damaged

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
ACCEPTED = (INDEX, MANIFEST, DOCKER_LIST, DOCKER_MANIFEST)
EMPTY = "application/vnd.oci.empty.v1+json"
EMPTY_CONTENT = b"{}"
LARGEST_MANIFEST = 4 << 20
"""What the distribution specification wants a registry to take at least."""


@dataclass(frozen=True)
class Descriptor:
    """Points to content by digest and size in bytes."""

    media_type: str
    digest: str
    size: int
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    urls: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As it stands in a manifest."""
        more: dict[str, Any] = {"artifactType": self.artifact_type} if self.artifact_type else {}
        if self.annotations:
            more |= {"annotations": dict(self.annotations)}
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size, **more}


@dataclass(frozen=True)
class Manifest:
    """A manifest's own bytes, which its digest is of, and what is read from them.

    ``children`` are the manifests of an index; ``blobs`` a manifest's configuration and layers.
    """

    content: bytes = field(repr=False)
    media_type: str
    digest: str
    values: Mapping[str, Any] = field(repr=False, hash=False)
    children: tuple[Descriptor, ...] = ()
    blobs: tuple[Descriptor, ...] = ()
    subject: Descriptor | None = None

    @property
    def descriptor(self) -> Descriptor:
        """What points to it. Of an artifact without ``artifactType`` the configuration's media type tells the type."""
        kind = str(self.values.get("artifactType") or "")
        if not kind and isinstance(self.values.get("config"), dict):
            kind = str(self.values["config"].get("mediaType") or "")
        annotations = self.values.get("annotations") or {}
        return Descriptor(self.media_type, self.digest, len(self.content), kind, annotations)

    @property
    def layers(self) -> tuple[Descriptor, ...]:
        """The layers alone, lowest first."""
        return self.blobs[1:] if "config" in self.values else self.blobs

    @property
    def config(self) -> Descriptor | None:
        """The configuration of a manifest, None of an index."""
        return self.blobs[0] if "config" in self.values else None


def digest_of(content: bytes) -> str:
    """``sha256:…`` of the bytes."""
    return f"sha256:{sha256(content).hexdigest()}"


def read_manifest(content: bytes, media_type: str, where: str = "") -> Manifest:
    """Read a manifest or an index.

    Raises:
        Damaged: the content is none.
    """
    try:
        values = json.loads(content)
        if not isinstance(values, dict) or values.get("schemaVersion") != 2:
            raise ValueError
        media_type = str(values.get("mediaType") or media_type.partition(";")[0].strip())
        if media_type not in ACCEPTED:
            raise ValueError
        children = tuple(read_descriptor(each) for each in values.get("manifests") or ())
        parts = [*([values["config"]] if "config" in values else []), *(values.get("layers") or ())]
        blobs = tuple(read_descriptor(each) for each in parts)
        subject = read_descriptor(values["subject"]) if values.get("subject") else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise Damaged("this is no image manifest of version 2", where=where) from None
    return Manifest(content, media_type, digest_of(content), values, children, blobs, subject)


def read_descriptor(values: Any) -> Descriptor:
    """Read a descriptor.

    Raises:
        ValueError: it is none, or its digest is of another kind than sha256.
        KeyError: a part is missing.
    """
    digest, size = str(values["digest"]), values["size"]
    annotations = values.get("annotations") or {}
    if re.fullmatch(DIGEST, digest, re.ASCII) is None or not isinstance(size, int) or size < 0 or not isinstance(annotations, dict):
        raise ValueError
    texts = {str(name): str(value) for name, value in annotations.items()}
    urls = tuple(str(url) for url in values.get("urls") or ())
    return Descriptor(str(values["mediaType"]), digest, size, str(values.get("artifactType") or ""), texts, urls)


def write_manifest(values: Mapping[str, Any]) -> Manifest:
    """A manifest of our own making: always the same bytes for the same values."""
    content = json.dumps(values, separators=(",", ":"), ensure_ascii=False).encode()
    return read_manifest(content, str(values["mediaType"]))
