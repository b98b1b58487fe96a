"""Referrers of a digest: the specification's API, and its fallback, an index under the tag ``sha256-…``."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import requests

from lorafleet.registry.errors import Damaged, Failed, NotHeld, Unreachable
from lorafleet.registry.manifests import INDEX, LARGEST_MANIFEST, Descriptor, read_descriptor, write_manifest
from lorafleet.registry.transport import Scope, Transport, read_at_most

if TYPE_CHECKING:
    from lorafleet.registry.repository import Repository

_MOST_PAGES = 100
# Beside 404, what registries say to an address that they do not know.
_NO_API = frozenset({400, 405, 501})


def tag_of(digest: str) -> str:
    """The tag under which a registry without the API keeps the index of a digest's referrers."""
    return digest.replace(":", "-")


def find(repository: "Repository", transport: Transport, scope: Scope, digest: str) -> tuple[Descriptor, ...]:
    """All referrers of a digest."""
    found: dict[str, Descriptor] = {}
    path: str | None = f"/v2/{repository.name}/referrers/{digest}"
    where = f"{repository}@{digest}"
    for _ in range(_MOST_PAGES):
        if path is None:
            break
        try:
            values, path = _page(transport, path, scope, where)
        except NotHeld:
            return _by_tag(repository, digest)
        except Failed as error:
            if error.status in _NO_API:
                return _by_tag(repository, digest)
            raise
        found |= {each.digest: each for each in _descriptors(values, where)}
    return tuple(found.values())


def add_by_tag(repository: "Repository", subject: str, referrer: Descriptor) -> None:
    """Note a referrer where the registry does not do so itself."""
    known = _by_tag(repository, subject)
    if referrer.digest in {each.digest for each in known}:
        return
    manifests = [each.to_json() for each in (*known, referrer)]
    repository.point(tag_of(subject), write_manifest({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}))


def _by_tag(repository: "Repository", digest: str) -> tuple[Descriptor, ...]:
    try:
        return repository.manifest(tag_of(digest)).children
    except NotHeld:
        return ()


def _page(transport: Transport, path: str, scope: Scope, where: str) -> tuple[Mapping[str, Any], str | None]:
    with transport.request("GET", path, scope, where, headers={"Accept": INDEX}) as answer:
        if answer.headers.get("Content-Type", "").partition(";")[0].strip() != INDEX:
            # Some registries without the API answer every address.
            raise NotHeld("has no referrers API", where=where)
        try:
            values = json.loads(read_at_most(answer, LARGEST_MANIFEST))
            following = answer.links.get("next", {}).get("url")
            return values, urljoin(answer.url, following) if following else None
        except requests.RequestException as error:
            raise Unreachable(f"the connection was dropped ({type(error).__name__})", where=where) from None
        except (ValueError, RecursionError):
            raise Damaged("its list of referrers cannot be read", where=where) from None


def _descriptors(values: Mapping[str, Any], where: str) -> list[Descriptor]:
    try:
        return [read_descriptor(each) for each in values.get("manifests") or ()]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Damaged("its list of referrers cannot be read", where=where) from None
