"""A cache of encodings on disk, keyed by everything that they depend on.

A key is the SHA-256 of content, model and transform, never of a file's name: an edited image or caption, or another VAE, is another key.
Entries are safetensors files that appear whole; a damaged one counts as missing.
"""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lorafleet.whole_files import replacing

# Encodings that are kept in memory besides, so that small sets are read from disk once.
_MEMORY_BYTES = 1 << 30


def key_of(*parts: object) -> str:
    """The key of an encoding that depends on ``parts``."""
    return sha256("\x1f".join(str(part) for part in parts).encode()).hexdigest()


class EncodingCache:
    """Named tensors by key. Several processes may share the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._memory: dict[str, Mapping[str, Tensor]] = {}
        self._memory_left = _MEMORY_BYTES

    def get(self, key: str) -> Mapping[str, Tensor] | None:
        """The tensors of a key, on the CPU, or None."""
        if key in self._memory:
            return self._memory[key]
        try:
            tensors: Mapping[str, Tensor] = load_file(self._path(key))
        except (OSError, SafetensorError):
            return None
        self._remember(key, tensors)
        return tensors

    def put(self, key: str, tensors: Mapping[str, Tensor]) -> None:
        """Keep tensors under a key.

        Raises:
            OSError: the disk refused.
        """
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, durable=False) as building:
            save_file({name: tensor.contiguous().cpu() for name, tensor in tensors.items()}, building)

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.safetensors"

    def _remember(self, key: str, tensors: Mapping[str, Tensor]) -> None:
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        if size <= self._memory_left:
            self._memory_left -= size
            self._memory[key] = tensors
