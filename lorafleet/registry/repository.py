"""One repository of a registry: manifests, blobs and referrers. Whatever is read is checked against its digest."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from hashlib import sha256
from typing import IO

import requests

from lorafleet.contracts.image import ImageReference
from lorafleet.registry import referring
from lorafleet.registry.credentials import Anonymous, Credentials
from lorafleet.registry.errors import Damaged, Failed, NotHeld, Refused, RegistryError, Unreachable
from lorafleet.registry.manifests import ACCEPTED, LARGEST_MANIFEST, Descriptor, Manifest, read_manifest
from lorafleet.registry.transport import Patience, Scope, Transport, read_at_most
from lorafleet.registry.uploading import Upload

# What a dropped connection loses of what had arrived.
_BLOCK = 64 << 10
CHUNK_BYTES = 64 << 20
"""Larger blobs are sent in parts, so that a dropped connection costs one part at most."""

# What registries answer whose tags are immutable: ECR 400, others what RFC 9110 has for it.
_IMMUTABLE = frozenset({400, 409, 412})

Progress = Callable[[int], None]
"""Told of every so many bytes that moved."""


def _nothing(_: int) -> None:
    pass


class Registries:
    """Repositories of any registries, with one connection pool and one set of tokens each. Safe to use from several threads."""

    def __init__(self, credentials: Credentials | None = None, patience: Patience | None = None) -> None:
        self._credentials = credentials or Anonymous()
        self._patience = patience or Patience()
        self._transports: dict[str, Transport] = {}

    def repository(self, image: ImageReference) -> "Repository":
        """The repository that an image lies in; without a registry in its name that is Docker Hub's."""
        host = image.registry or "docker.io"
        name = image.repository
        if host == "docker.io" and "/" not in name:
            name = f"library/{name}"
        transport = self._transports.get(host)
        if transport is None:
            transport = self._transports.setdefault(host, Transport(host, self._credentials, self._patience))
        return Repository(transport, name)


class Repository:
    """See the module. Every method raises what :meth:`lorafleet.registry.transport.Transport.request` does."""

    def __init__(self, transport: Transport, name: str, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._transport = transport
        self.name = name
        self._chunk_bytes = chunk_bytes
        self._pull = Scope(name)
        self._push = Scope(name, "pull,push")

    def in_chunks(self, chunk_bytes: int) -> "Repository":
        """The same repository, with other parts to send large blobs in."""
        return Repository(self._transport, self.name, chunk_bytes)

    @property
    def host(self) -> str:
        """The registry."""
        return self._transport.host

    def __str__(self) -> str:
        return f"{self.host}/{self.name}"

    def find(self, reference: str) -> Descriptor | None:
        """What a tag or digest points to, by HEAD; None where it is not held.

        Raises:
            Damaged: it names another digest than was asked for.
        """
        where = self._where(reference)
        try:
            with self._manifests("HEAD", reference, where) as answer:
                digest = answer.headers.get("Docker-Content-Digest", "")
                length = answer.headers.get("Content-Length", "")
                kind = answer.headers.get("Content-Type", "").partition(";")[0]
        except NotHeld:
            return None
        if not digest:
            return self.manifest(reference).descriptor
        if _is_digest(reference) and digest != reference:
            raise Damaged(f"gives another digest, {digest}", where=where)
        return Descriptor(kind, digest, int(length) if length.isdecimal() else 0)

    def manifest(self, reference: str) -> Manifest:
        """Read a manifest by tag or digest.

        Raises:
            Damaged: it is none, or not what the digest names.
        """
        where = self._where(reference)
        with self._manifests("GET", reference, where) as answer:
            try:
                content = read_at_most(answer, LARGEST_MANIFEST)
            except ValueError as error:
                raise Damaged(str(error), where=where) from None
            except requests.RequestException as error:
                raise Unreachable(f"the connection was dropped ({type(error).__name__})", where=where) from None
            kind, named = answer.headers.get("Content-Type", ""), answer.headers.get("Docker-Content-Digest", "")
        found = read_manifest(content, kind, where)
        wanted = reference if _is_digest(reference) else named or found.digest
        if found.digest != wanted:
            raise Damaged(f"gives another digest, {found.digest}", where=where, hint="do not use it; copy the image anew")
        return found

    def put_manifest(self, manifest: Manifest, reference: str = "") -> None:
        """Store a manifest, with the same bytes, and under a tag too where one is given.

        One with a subject is found among the subject's referrers afterwards, also where the registry does not know these.

        Raises:
            Damaged: the registry names another digest for it.
        """
        where = self._where(reference or manifest.digest)
        path = f"/v2/{self.name}/manifests/{reference or manifest.digest}"
        headers = {"Content-Type": manifest.media_type}
        with self._transport.request(
            "PUT", path, self._push, where, headers=headers, body=manifest.content, expect=(200, 201)
        ) as answer:
            named = answer.headers.get("Docker-Content-Digest", manifest.digest)
            knows_subjects = "OCI-Subject" in answer.headers
        if named != manifest.digest:
            raise Damaged(f"stored it under another digest, {named}", where=where)
        if manifest.subject is not None and not knows_subjects:
            referring.add_by_tag(self, manifest.subject.digest, manifest.descriptor)

    def point(self, tag: str, manifest: Manifest) -> None:
        """Let a tag name a manifest. Where tags cannot be moved, one that is found among its subject's referrers needs none.

        Raises:
            Failed: the tag names another manifest and cannot be moved, and nothing else would lead to this one.
        """
        held = self.find(tag)
        if held is not None and held.digest == manifest.digest:
            return
        try:
            self.put_manifest(manifest, tag)
        except Failed as error:
            if held is None or error.status not in _IMMUTABLE:
                raise
            found = self.referrers(manifest.subject.digest) if manifest.subject is not None else ()
            if manifest.digest not in {each.digest for each in found}:
                hint = "its tags are immutable: except those that begin with sha256- from that"
                raise Failed("names another manifest and cannot be moved", where=self._where(tag), hint=hint) from None

    def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        """What refers to a digest, by the registry's referrers API, and by the specification's tag where it has none."""
        return referring.find(self, self._transport, self._pull, digest)

    def has_blob(self, digest: str) -> bool:
        """Whether a blob is held."""
        try:
            with self._transport.request("HEAD", self._blob_path(digest), self._pull, self._where(digest)):
                return True
        except NotHeld:
            return False

    def blob(self, descriptor: Descriptor, most: int = LARGEST_MANIFEST) -> bytes:
        """A small blob's content.

        Raises:
            Damaged: it is longer than ``most`` bytes, or not what the digest names.
        """
        if descriptor.size > most:
            raise Damaged(f"it is longer than {most} bytes", where=self._where(descriptor.digest))
        content = io.BytesIO()
        self.fetch(descriptor, content)
        return content.getvalue()

    def fetch(self, descriptor: Descriptor, into: IO[bytes], progress: Progress = _nothing) -> None:
        """Write a blob's content to an empty file; after a dropped connection it goes on with the rest.

        Raises:
            Damaged: the content is not what the digest names.
        """
        where = self._where(descriptor.digest)
        seen, position, broken = sha256(), 0, 0
        while True:
            start = position
            try:
                for block in self._blocks(descriptor, position, where):
                    position += len(block)
                    if position > descriptor.size:
                        raise Damaged(f"it is longer than {descriptor.size} bytes", where=where)
                    seen.update(block)
                    into.write(block)
                    progress(len(block))
                if position == descriptor.size:
                    break
                raise requests.ConnectionError("the body ended early")
            except requests.RequestException as error:
                # Over a line that breaks again and again a large blob arrives all the same, as long as each time brings some of it.
                broken = 1 if position > start else broken + 1
                if broken >= self._transport.patience.attempts:
                    raise Unreachable(
                        f"the connection was dropped at byte {position} of {descriptor.size} ({type(error).__name__})", where=where
                    ) from None
                self._transport.wait(broken - 1)
        if f"sha256:{seen.hexdigest()}" != descriptor.digest:
            raise Damaged(f"gives another digest, sha256:{seen.hexdigest()}", where=where, hint="do not use it")

    def _blocks(self, descriptor: Descriptor, position: int, where: str) -> Iterator[bytes]:
        headers = {"Range": f"bytes={position}-"} if position else {}
        with self._transport.request(
            "GET", self._blob_path(descriptor.digest), self._pull, where, headers=headers, expect=(200, 206)
        ) as answer:
            skip = position if answer.status_code == 200 else 0
            for block in answer.iter_content(_BLOCK):
                yield block[skip:] if skip < len(block) else b""
                skip = max(skip - len(block), 0)

    def upload(self, descriptor: Descriptor, opened: Callable[[], IO[bytes]], progress: Progress = _nothing) -> None:
        """Store a blob; ``opened`` opens its content anew. Nothing is sent where it is held already.

        Raises:
            Damaged: the registry found that the content is not what the digest names.
        """
        if not self.has_blob(descriptor.digest):
            Upload(self._transport, self._push, self._where(descriptor.digest), self._chunk_bytes, progress).send(
                descriptor, opened
            )

    def upload_bytes(self, media_type: str, content: bytes) -> Descriptor:
        """Store a small blob."""
        descriptor = Descriptor(media_type, f"sha256:{sha256(content).hexdigest()}", len(content))
        self.upload(descriptor, lambda: io.BytesIO(content))
        return descriptor

    def mount(self, digest: str, source: str) -> bool:
        """Take a blob from another repository of the same registry without sending it; False where the registry does not."""
        path = f"/v2/{self.name}/blobs/uploads/?mount={digest}&from={source}"
        scope = replace(self._push, mount_from=source)
        try:
            with self._transport.request(
                "POST", path, scope, self._where(digest), expect=(201, 202), headers={"Content-Length": "0"}
            ) as a:
                mounted, location = a.status_code == 201, a.headers.get("Location", "")
        except (Refused, NotHeld, Failed):
            # Who may push here may not read there, by the same login. What else is wrong, sending tells.
            return False
        if not mounted and location:
            with suppress(RegistryError):
                self._transport.request("DELETE", location, scope, self._where(digest), expect=(204,), again=False).close()
        return mounted

    @contextmanager
    def _manifests(self, method: str, reference: str, where: str) -> Iterator[requests.Response]:
        path = f"/v2/{self.name}/manifests/{reference}"
        with self._transport.request(method, path, self._pull, where, headers={"Accept": ", ".join(ACCEPTED)}) as answer:
            yield answer

    def _blob_path(self, digest: str) -> str:
        return f"/v2/{self.name}/blobs/{digest}"

    def _where(self, reference: str) -> str:
        return f"{self}{'@' if _is_digest(reference) else ':'}{reference}"


def _is_digest(reference: str) -> bool:
    return reference.startswith("sha256:")
