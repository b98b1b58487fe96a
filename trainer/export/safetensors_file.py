"""Writing ``.safetensors`` files that appear whole or not at all, and the hashes by which web UIs know a LoRA."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from lorafleet.whole_files import write_whole

_LEGACY_OFFSET, _LEGACY_LENGTH, _LEGACY_DIGITS = 0x100000, 0x10000, 8


def write(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Path:
    """Write the file, whole and onto the disk.

    Raises:
        OSError: the disk refused; the old file, if there was one, is untouched and nothing is left behind.
    """
    # The bytes are made in memory: safetensors' own writer reports a full disk as an error that is no OSError.
    data = save(dict(tensors), dict(metadata))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, data)
    return path


def model_hashes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> dict[str, str]:
    """``sshs_model_hash`` and ``sshs_legacy_hash`` as sd-scripts computes them (``precalculate_safetensors_hashes``).

    The first is the SHA-256 of everything behind the header, the second 8 digits of that of 64 KiB from 1 MiB on, in a file whose
    metadata is only what begins with ``ss_``.
    """
    data = save(dict(tensors), {key: value for key, value in metadata.items() if key.startswith("ss_")})
    body = 8 + int.from_bytes(data[:8], "little")
    legacy = data[_LEGACY_OFFSET : _LEGACY_OFFSET + _LEGACY_LENGTH]
    return {"sshs_model_hash": sha256(data[body:]).hexdigest(), "sshs_legacy_hash": sha256(legacy).hexdigest()[:_LEGACY_DIGITS]}
