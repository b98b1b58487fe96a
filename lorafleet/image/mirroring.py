"""Copying an image by digest to several registries at once, with all that refers to it: signatures, SBOM, attestations.

Each blob that is missing somewhere is fetched once, checked, and sent to every registry that lacks it; manifests follow when all
blobs are there, so that a registry never shows half an image. Whatever is held already is not sent again: an interrupted copy is
gone on with by the same call. A registry that fails is left out, and the others get theirs.
"""

import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lorafleet.contracts.image import digest12
from lorafleet.contracts.problems import Interrupted, LorafleetError, StorageError
from lorafleet.image.daemons import Daemons
from lorafleet.registry.errors import Damaged, NotHeld
from lorafleet.registry.manifests import Descriptor, Manifest
from lorafleet.registry.repository import Repository

_DEEPEST = 4
_COSIGN_TAGS = (".sig", ".att", ".sbom")
_BLOBS_AT_ONCE = 3
# How long what is under way has to stop by itself.
_ENDING_SECONDS = 2.0


def kept_by(digest: str) -> str:
    """The tag of a copied manifest that has none: registries' clean-up rules take those. It never moves, as it is the digest's own."""
    return f"release-{digest12(digest)}"


@dataclass(frozen=True)
class Contents:
    """Everything that is copied. ``manifests`` stand in the order in which they may be stored, each with its tags."""

    manifests: tuple[tuple[Manifest, tuple[str, ...]], ...]
    blobs: Mapping[str, Descriptor]


@dataclass
class Copy:
    """How the copy to one registry went. ``sent`` counts bytes; ``problem`` is empty where every digest is there."""

    target: str
    sent: int = 0
    skipped: int = 0
    mounted: int = 0
    problem: str = ""


class Watcher(Protocol):
    """Told how far a copy is; called from several threads."""

    def planned(self, target: str, size: int) -> None:
        """So many bytes are missing there."""
        ...

    def moved(self, target: str, size: int) -> None:
        """So many bytes were sent there."""
        ...


class Silent:
    """Tells nobody."""

    def planned(self, target: str, size: int) -> None:
        """See Watcher."""

    def moved(self, target: str, size: int) -> None:
        """See Watcher."""


def read_contents(source: Repository, digest: str) -> Contents:
    """Everything that belongs to an image: its manifests, configurations, layers, and what refers to it.

    Raises:
        NotHeld: there is no such image.
        RegistryError: it cannot be read.
    """
    found = _Reading(source)
    root = source.manifest(digest)
    found.add(root)
    found.add_referrers(root.digest, 0)
    for child in root.children:
        found.add_referrers(child.digest, 0)
    for ending in _COSIGN_TAGS:
        tag = f"{digest.replace(':', '-')}{ending}"
        try:
            found.add(source.manifest(tag), tag)
        except NotHeld:
            continue
    tagged = tuple((each, tuple(found.tags[each.digest]) or (kept_by(each.digest),)) for each in found.manifests.values())
    return Contents(tagged, found.blobs)


@dataclass
class _Reading:
    source: Repository
    manifests: dict[str, Manifest] = field(default_factory=dict)
    tags: dict[str, list[str]] = field(default_factory=dict)
    blobs: dict[str, Descriptor] = field(default_factory=dict)

    def add(self, manifest: Manifest, *tags: str) -> None:
        """A manifest behind the ones that it points to."""
        for child in manifest.children:
            if child.digest not in self.manifests:
                self.add(self.source.manifest(child.digest))
        # Layers with addresses of their own lie elsewhere, and registries do not hold them.
        self.blobs |= {blob.digest: blob for blob in manifest.blobs if not blob.urls}
        self.manifests.setdefault(manifest.digest, manifest)
        self.tags.setdefault(manifest.digest, []).extend(tags)

    def add_referrers(self, digest: str, depth: int) -> None:
        for descriptor in self.source.referrers(digest) if depth < _DEEPEST else ():
            if descriptor.digest in self.manifests:
                continue
            try:
                manifest = self.source.manifest(descriptor.digest)
            except NotHeld:
                # Listed still, and taken by a clean-up.
                continue
            self.add(manifest)
            self.add_referrers(descriptor.digest, depth + 1)


def mirror(
    source: Repository,
    digest: str,
    targets: Sequence[Repository],
    watcher: Watcher | None = None,
    scratch: Path | None = None,
) -> tuple[Copy, ...]:
    """Copy an image to every target; ``scratch`` is where blobs lie on their way, by default the system's temporary folder.

    Raises:
        RegistryError: the source cannot be read, or what it gives is damaged.
        StorageError: the scratch folder is full.
    """
    contents = read_contents(source, digest)
    copying = _Copying(source, contents, {str(each): each for each in targets}, watcher or Silent())
    copying.blobs(scratch)
    copying.manifests()
    return tuple(copying.copies.values())


class _Copying:
    def __init__(self, source: Repository, contents: Contents, targets: Mapping[str, Repository], watcher: Watcher) -> None:
        self._source = source
        self._contents = contents
        self._targets = targets
        self._watcher = watcher
        self._stopped = threading.Event()
        self.copies = {name: Copy(name) for name in targets}

    def blobs(self, scratch: Path | None) -> None:
        """Bring every blob to every target."""
        blobs = list(self._contents.blobs.values())
        with Daemons(len(self._targets)) as pool:
            lacking = dict(zip(self._targets, pool.map(self._lacking, self._targets), strict=True))
        for name, missing in lacking.items():
            if self.copies[name].problem:
                continue
            self._watcher.planned(name, sum(self._contents.blobs[digest].size for digest in missing))
        wanted = [blob for blob in blobs if any(blob.digest in missing for missing in lacking.values())]
        # The largest first: then the last ones end together.
        wanted.sort(key=lambda blob: -blob.size)
        with (
            _scratch(scratch) as folder,
            Daemons(_BLOBS_AT_ONCE) as pool,
            Daemons(_BLOBS_AT_ONCE * len(self._targets)) as senders,
        ):
            doing = [pool.submit(self._bring, blob, lacking, folder, senders) for blob in wanted]
            try:
                for each in doing:
                    each.result()
            except BaseException:
                # Also after Ctrl-C: nobody wants to wait for gigabytes that are under way.
                self._stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                senders.shutdown(wait=False, cancel_futures=True)
                wait(doing, _ENDING_SECONDS)
                raise

    def manifests(self) -> None:
        """Store the manifests where all blobs are, then ask for each digest."""
        with Daemons(len(self._targets)) as pool:
            list(pool.map(self._store, self._targets))

    def _lacking(self, name: str) -> set[str]:
        target, copy, missing = self._targets[name], self.copies[name], set[str]()
        with _told(copy):
            for digest in self._contents.blobs:
                if target.has_blob(digest):
                    copy.skipped += 1
                elif (
                    target.host == self._source.host
                    and target.name != self._source.name
                    and target.mount(digest, self._source.name)
                ):
                    copy.mounted += 1
                else:
                    missing.add(digest)
        return missing

    def _bring(self, blob: Descriptor, lacking: Mapping[str, set[str]], folder: Path, senders: Daemons) -> None:
        names = [name for name, missing in lacking.items() if blob.digest in missing and not self.copies[name].problem]
        if not names:
            return
        path = folder / blob.digest.replace(":", "-")
        try:
            with path.open("xb") as file:
                self._source.fetch(blob, file, self._go_on)
            list(senders.map(lambda name: self._send(name, blob, path), names))
        except OSError as error:
            hint = "free some, or name a folder with --scratch"
            raise StorageError(f"cannot be written: {error.strerror}", where=str(folder), hint=hint) from None
        finally:
            path.unlink(missing_ok=True)

    def _go_on(self, _: int) -> None:
        if self._stopped.is_set():
            raise Interrupted("the copy was stopped", hint="run the same again: what is there is not sent again")

    def _send(self, name: str, blob: Descriptor, path: Path) -> None:
        copy = self.copies[name]

        def moved(size: int) -> None:
            self._go_on(size)
            copy.sent += size
            self._watcher.moved(name, size)

        with _told(copy):
            self._targets[name].upload(blob, lambda: path.open("rb"), moved)

    def _store(self, name: str) -> None:
        target, copy = self._targets[name], self.copies[name]
        if copy.problem:
            return
        with _told(copy):
            for manifest, tags in self._contents.manifests:
                target.put_manifest(manifest)
                for tag in tags:
                    target.point(tag, manifest)
            for manifest, _ in self._contents.manifests:
                if target.find(manifest.digest) is None:
                    raise Damaged("does not hold it after all was stored", where=f"{target}@{manifest.digest}")


@contextmanager
def _told(copy: Copy) -> Iterator[None]:
    """Keep a registry's failure in its copy, so that the others go on."""
    try:
        yield
    except LorafleetError as error:
        copy.problem = copy.problem or str(error)


@contextmanager
def _scratch(parent: Path | None) -> Iterator[Path]:
    try:
        with tempfile.TemporaryDirectory(prefix="lorafleet-mirror-", dir=parent) as name:
            yield Path(name)
    except OSError as error:
        raise StorageError(f"cannot be used: {error.strerror}", where=str(parent or tempfile.gettempdir())) from None
