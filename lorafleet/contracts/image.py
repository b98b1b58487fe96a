"""References to container images: ``registry/repository@sha256:…``."""

import re
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

# The grammar is that of github.com/distribution/reference.
DIGEST = r"sha256:[0-9a-f]{64}"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?"
_PATH = rf"{_PART}(?:/{_PART})*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_REFERENCE = rf"(?:(?P<registry>{_HOST})/)?(?P<repository>{_PATH})(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{DIGEST}))?"
_LONGEST_NAME = 255


@dataclass(frozen=True)
class ImageReference:
    """The parts of a reference; ``registry``, ``tag`` and ``digest`` are empty where they are not written."""

    repository: str
    registry: str = ""
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """The last part of the repository's path."""
        return self.repository.rsplit("/", 1)[-1]

    @property
    def mutable(self) -> bool:
        """Whether it may be another image tomorrow; only a digest names one image for good."""
        return not self.digest

    def pinned(self, digest: str) -> "ImageReference":
        """The same image by its digest, which never changes, instead of a tag, which may."""
        return replace(self, tag="", digest=digest)

    def copied_to(self, registry: str) -> "ImageReference":
        """Where the image lies in a site's registry, such as ``123.dkr.ecr.eu-central-1.amazonaws.com/fleet``."""
        return replace(parse_image(f"{registry}/{self.name}"), tag=self.tag, digest=self.digest)

    def __str__(self) -> str:
        registry = f"{self.registry}/" if self.registry else ""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{registry}{self.repository}{tag}{digest}"


def digest12(digest: str) -> str:
    """The first twelve digits of a digest ``sha256:…``, which name things in Kubernetes."""
    return digest.removeprefix("sha256:")[:12]


def parse_image(text: str) -> ImageReference:
    """Read a reference. The first part is a registry if it has a dot or a port or is ``localhost``, as Docker has it.

    Raises:
        ValueError: the text is no reference.
    """
    found = re.fullmatch(_REFERENCE, text, re.ASCII)
    if found is not None and not _is_host(found["registry"] or ""):
        # Without the marks of a host the first part belongs to the path, whose letters are small.
        found = re.fullmatch(_REFERENCE.replace(_HOST, r"(?!)"), text, re.ASCII)
    if found is None or len(text.partition("@")[0]) > _LONGEST_NAME:
        raise ValueError(f"{text[:80]!r} is no image; write it as registry/repository@sha256:…")
    return ImageReference(
        repository=found["repository"], registry=found["registry"] or "", tag=found["tag"] or "", digest=found["digest"] or ""
    )


def _is_host(registry: str) -> bool:
    return not registry or "." in registry or ":" in registry or registry == "localhost"


def _untagged(value: Any) -> ImageReference:
    if isinstance(value, str):
        value = parse_image(value)
    if not isinstance(value, ImageReference):
        raise ValueError("write the image as registry/repository or registry/repository@sha256:…")
    if value.tag:
        raise ValueError(f"'{value}' names a tag, which may change; name its digest, or neither and give the digest at release")
    return value


# The digest may be left out: then each release brings its own.
UntaggedImage = Annotated[
    ImageReference,
    PlainValidator(_untagged),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(
        {"type": "string", "pattern": rf"^(?:{_HOST}/)?{_PATH}(?:@{DIGEST})?$", "description": "An image without a tag."}
    ),
]
