"""Files of an image, from its layers in a registry or from an unpacked root."""

import gzip
import lzma
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from lorafleet.contracts.problems import ConfigError, NoInputError, StorageError
from lorafleet.registry.errors import NotHeld
from lorafleet.registry.manifests import Descriptor, Manifest
from lorafleet.registry.repository import Repository

_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_LARGEST_FILE = 32 << 20
# What tarfile and the libraries below it raise where an archive ends early or is none.
_DAMAGE = (tarfile.TarError, EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error)


def image_of(repository: Repository, digest: str, platform: str = "linux/amd64") -> Manifest:
    """The manifest with the layers: the image itself, or that of a platform in an index.

    Raises:
        NotHeld: the index has no such platform.
    """
    manifest = repository.manifest(digest)
    if not manifest.children:
        return manifest
    for child, values in zip(manifest.children, manifest.values["manifests"], strict=True):
        named = values.get("platform") or {}
        if f"{named.get('os')}/{named.get('architecture')}" == platform:
            return repository.manifest(child.digest)
    raise NotHeld(f"has no image for {platform}", where=f"{repository}@{digest}")


def from_root(root: Path, files: Sequence[str], folder: str) -> dict[str, bytes]:
    """Files of an unpacked image by their path without the first slash: the named ones, and all that lie in the folder itself.

    Raises:
        NoInputError: the root is no folder, or a file cannot be read.
    """
    if not root.is_dir():
        raise NoInputError("there is no such folder", where=str(root))
    paths = [*(root / name for name in files), *sorted((root / folder).glob("*"))]
    try:
        # A link may lead out of the image.
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths if path.is_file() and not path.is_symlink()}
    except OSError as error:
        raise NoInputError(f"cannot be read: {error.strerror}", where=str(root)) from None


def from_layers(repository: Repository, image: Manifest, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """Files of an image by their path without the first slash, from its layers; an upper layer hides what lies below.

    Raises:
        Damaged: a layer is not what its digest names.
        ConfigError: a layer's compression cannot be read, or the layer is cut off.
        RegistryError: the registry cannot be asked.
        StorageError: the temporary folder is full.
    """
    found: dict[str, bytes] = {}
    hidden: set[str] = set()
    for layer in reversed(image.layers):
        contents, removed = _read(repository, layer, wanted)
        for name, content in contents.items():
            if name not in found and not _is_hidden(name, hidden):
                found[name] = content
        hidden |= removed
    return found


def _is_hidden(name: str, hidden: set[str]) -> bool:
    return any(name == place or name.startswith(f"{place}/") for place in hidden)


def _read(repository: Repository, layer: Descriptor, wanted: Callable[[str], bool]) -> tuple[dict[str, bytes], set[str]]:
    contents: dict[str, bytes] = {}
    removed: set[str] = set()
    try:
        with tempfile.TemporaryFile() as file:
            repository.fetch(layer, file)
            file.seek(0)
            with tarfile.open(fileobj=file, mode="r:*") as archive:
                for member in archive:
                    name = member.name.removeprefix("./").lstrip("/")
                    folder, _, last = name.rpartition("/")
                    if last == _OPAQUE:
                        removed.add(folder)
                    elif last.startswith(_WHITEOUT):
                        removed.add(f"{folder}/{last.removeprefix(_WHITEOUT)}".lstrip("/"))
                    elif member.isfile() and wanted(name) and member.size <= _LARGEST_FILE:
                        opened = archive.extractfile(member)
                        contents[name] = opened.read() if opened else b""
    except _DAMAGE:
        hint = "unpack the image and name the folder with --rootfs"
        raise ConfigError(
            f"cannot read a layer of type {layer.media_type}", where=f"{repository}@{layer.digest}", hint=hint
        ) from None
    except OSError as error:
        hint = "free some, set TMPDIR to another folder, or unpack the image and name the folder with --rootfs"
        raise StorageError(f"cannot be written: {error.strerror}", where=tempfile.gettempdir(), hint=hint) from None
    return contents, removed
