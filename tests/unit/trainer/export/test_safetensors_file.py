import errno
import os
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save

from trainer.export.safetensors_file import model_hashes, write

TENSORS = {"a": torch.arange(400_000, dtype=torch.float32), "b.alpha": torch.tensor(2.0)}


def test_a_written_file_is_read_back_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = write(tmp_path / "new" / "lora.safetensors", TENSORS, {"ss_v2": "False"})
    assert all(torch.equal(tensor, TENSORS[name]) for name, tensor in load_file(path).items())
    assert os.listdir(path.parent) == ["lora.safetensors"]


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "lora.safetensors", {"a": torch.zeros(3)}, {})

    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        write(path, TENSORS, {})
    assert list(load_file(path)) == ["a"]
    assert os.listdir(tmp_path) == ["lora.safetensors"]


def test_the_hashes_are_those_that_sd_scripts_computes() -> None:
    metadata = {"ss_v2": "False", "lorafleet_step": "3"}
    stream = BytesIO(save(TENSORS, {"ss_v2": "False"}))
    stream.seek(8 + int.from_bytes(stream.read(8), "little"))
    expected = {"sshs_model_hash": sha256(stream.read()).hexdigest()}
    stream.seek(0x100000)
    expected["sshs_legacy_hash"] = sha256(stream.read(0x10000)).hexdigest()[:8]
    assert model_hashes(TENSORS, metadata) == expected
    assert model_hashes(TENSORS, {**metadata, "modelspec.title": "another"}) == expected
    assert model_hashes({**TENSORS, "b.alpha": torch.tensor(3.0)}, metadata)["sshs_model_hash"] != expected["sshs_model_hash"]
