"""What every registry has to do for us: the same tests for the one in this process and for real ones."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lorafleet.contracts.image import ImageReference, digest12
from lorafleet.image.keys import SigningKey
from lorafleet.image.mirroring import mirror
from lorafleet.image.signing import sign
from lorafleet.registry.errors import Damaged, NotHeld, RegistryError
from lorafleet.registry.manifests import EMPTY, EMPTY_CONTENT, INDEX, MANIFEST, Descriptor, Manifest, digest_of, write_manifest
from lorafleet.registry.repository import Registries, Repository
from lorafleet.registry.signatures import Unsigned, verify
from lorafleet.registry.transport import Patience

LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG = "application/vnd.oci.image.config.v1+json"
HASTE = Patience(connect=2, silence=10, attempts=4, first_pause=0.01)

Place = Callable[[str], Repository]
"""A repository of this name, new to the test."""


def push_image(repository: Repository, *layers: bytes, tag: str = "v1") -> Manifest:
    """An index with one image, as a builder pushes it."""
    stored = [repository.upload_bytes(LAYER, content) for content in layers or (b"one layer", b"another")]
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}}
    described = repository.upload_bytes(CONFIG, json.dumps(config).encode()).to_json()
    image = write_manifest(
        {"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": [layer.to_json() for layer in stored]}
    )
    repository.put_manifest(image)
    child = {**image.descriptor.to_json(), "platform": {"os": "linux", "architecture": "amd64"}}
    del child["artifactType"]
    index = write_manifest({"schemaVersion": 2, "mediaType": INDEX, "manifests": [child]})
    repository.put_manifest(index)
    repository.put_manifest(index, tag)
    return index


def attach(repository: Repository, subject: Manifest, kind: str, content: bytes) -> Manifest:
    """An artifact that refers to an image."""
    config = repository.upload_bytes(EMPTY, EMPTY_CONTENT).to_json()
    layer = repository.upload_bytes(kind, content).to_json()
    points = {"mediaType": subject.media_type, "digest": subject.digest, "size": len(subject.content)}
    values = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": kind,
        "config": config,
        "layers": [layer],
        "subject": points,
    }
    manifest = write_manifest(values)
    repository.put_manifest(manifest)
    return manifest


class RegistrySuite:
    """A subclass gives the fixtures ``place`` and ``other``: repositories of two registries."""

    def test_a_manifest_comes_back_byte_for_byte_by_tag_and_digest(self, place: Place) -> None:
        repository = place("manifests")
        index = push_image(repository)
        for reference in ("v1", index.digest):
            assert repository.manifest(reference).content == index.content
            found = repository.find(reference)
            assert found is not None
            assert (found.digest, found.size, found.media_type) == (index.digest, len(index.content), INDEX)

    def test_what_is_not_there_is_said_to_be_missing(self, place: Place) -> None:
        repository = place("missing")
        push_image(repository)
        gone = digest_of(b"gone")
        assert repository.find(gone) is None
        assert repository.find("v2") is None
        assert not repository.has_blob(gone)
        assert repository.referrers(gone) == ()
        with pytest.raises(NotHeld, match="does not hold it"):
            repository.manifest(gone)

    @pytest.mark.parametrize("chunk", [1000, 1 << 20], ids=["in parts", "whole"])
    def test_a_blob_comes_back(self, place: Place, chunk: int) -> None:
        repository = place("blobs").in_chunks(chunk)
        content = bytes(range(256)) * 13
        blob = Descriptor(LAYER, digest_of(content + b"x" * chunk), len(content) + chunk)
        moved: list[int] = []
        repository.upload(blob, lambda: io.BytesIO(content + b"x" * chunk), moved.append)
        assert repository.has_blob(blob.digest)
        assert sum(moved) == blob.size
        out = io.BytesIO()
        repository.fetch(blob, out)
        assert out.getvalue() == content + b"x" * chunk
        repository.upload(blob, lambda: pytest.fail("it was sent a second time"))

    def test_content_that_is_not_the_digest_s_is_refused(self, place: Place) -> None:
        repository = place("false")
        with pytest.raises(RegistryError):
            repository.upload(Descriptor(LAYER, digest_of(b"this"), 4), lambda: io.BytesIO(b"that"))
        assert not repository.has_blob(digest_of(b"this"))

    def test_referrers_are_found(self, place: Place) -> None:
        repository = place("referrers")
        index = push_image(repository)
        first, second = (attach(repository, index, f"application/x-{name}", name.encode()) for name in ("one", "two"))
        repository.put_manifest(second)
        found = {each.digest: each.artifact_type for each in repository.referrers(index.digest)}
        assert found == {first.digest: "application/x-one", second.digest: "application/x-two"}

    def test_a_blob_is_mounted_from_another_repository(self, place: Place) -> None:
        one, two = place("source"), place("sink")
        blob = one.upload_bytes(LAYER, b"shared")
        assert two.mount(blob.digest, one.name)
        assert two.blob(blob) == b"shared"
        assert not two.mount(digest_of(b"nowhere"), one.name)

    def test_signatures_are_found_by_their_keys_only(self, place: Place, signing_keys: tuple[SigningKey, SigningKey]) -> None:
        repository = place("signed")
        index = push_image(repository)
        one, two = signing_keys
        with pytest.raises(Unsigned, match="holds no signature of it"):
            verify(repository, index.digest, [one.public])
        assert sign(repository, index.digest, one).new
        assert not sign(repository, index.digest, one).new
        with pytest.raises(Unsigned, match="holds no signature of it by"):
            verify(repository, index.digest, [two.public])
        assert sign(repository, index.digest, two).new
        for key in signing_keys:
            assert verify(repository, index.digest, [key.public]).reference == str(repository)

    def test_a_copy_has_the_same_digest_signature_and_referrers(
        self, place: Place, other: Place, signing_keys: tuple[SigningKey, SigningKey], tmp_path: Path
    ) -> None:
        source, near, far = place("home"), place("near"), other("far")
        index = push_image(source, b"base", b"code" * 1000)
        sign(source, index.digest, signing_keys[0])
        sbom = attach(source, index, "application/vnd.cyclonedx+json", b"{}")
        copies = mirror(source, index.digest, [near, far], scratch=tmp_path)
        assert [copy.problem for copy in copies] == ["", ""]
        assert copies[0].sent == 0
        assert copies[0].mounted > 0
        assert copies[1].sent > 4000
        for target in (near, far):
            assert target.manifest(index.digest).content == index.content
            # By digest alone they would be among the untagged images, which registries clean up.
            for manifest in (index.digest, index.children[0].digest, sbom.digest):
                assert target.manifest(f"release-{digest12(manifest)}").digest == manifest
            assert verify(target, index.digest, [signing_keys[0].public]).reference == str(source)
            assert sbom.digest in {each.digest for each in target.referrers(index.digest)}
        again = mirror(source, index.digest, [near, far], scratch=tmp_path)
        assert [(copy.sent, copy.mounted, copy.problem) for copy in again] == [(0, 0, "")] * 2
        assert list(tmp_path.iterdir()) == []

    def test_a_registry_that_is_away_stops_no_other(self, place: Place, tmp_path: Path) -> None:
        source = place("partial")
        index = push_image(source)
        away = Registries(patience=HASTE).repository(ImageReference("far/trainer", "127.0.0.1:9"))
        copies = mirror(source, index.digest, [away, place("copy")], scratch=tmp_path)
        assert "the connection is refused" in copies[0].problem
        assert copies[1].problem == ""
        assert place("copy").find(index.digest) is not None

    def test_a_blob_that_is_larger_than_is_wanted_is_not_read(self, place: Place) -> None:
        repository = place("damage")
        index = push_image(repository)
        with pytest.raises(Damaged, match="longer than 1 bytes"):
            repository.blob(repository.manifest(index.children[0].digest).layers[0], most=1)
