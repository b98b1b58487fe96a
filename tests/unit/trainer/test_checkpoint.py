import json
import os
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lorafleet.contracts.problems import ConfigError
from trainer import checkpoint, state_tree
from trainer.checkpoint import Position, State


def some_state(step: int = 3) -> State:
    tree, tensors = state_tree.split(
        {"state": {0: {"exp_avg": torch.randn(3, 2), "step": torch.tensor(4.0)}}, "param_groups": [{"lr": 0.1}]}
    )
    return State(
        Position(step, 0, step, 42), {"unet.a.lora_A": torch.randn(2, 3)}, tree, tensors, fingerprint={"seed": 42}, micro_batch=2
    )


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    state = some_state()
    folder = checkpoint.write(tmp_path, state, lambda path: (path / "weights.safetensors").write_bytes(b"abc"))
    assert folder.name == "step-00000003"
    assert checkpoint.is_whole(folder)
    back = checkpoint.read(folder)
    assert back.position == state.position
    assert back.micro_batch == 2
    assert torch.equal(back.lora["unet.a.lora_A"], state.lora["unet.a.lora_A"])
    joined = state_tree.join(back.optimizer, back.optimizer_tensors)
    assert joined["param_groups"] == [{"lr": 0.1}]
    assert torch.equal(joined["state"][0]["exp_avg"], state.optimizer_tensors["/state/0/exp_avg"])


@pytest.mark.parametrize("name", ["lora.safetensors", "optimizer.safetensors", "state.json", "MANIFEST.json"])
@pytest.mark.parametrize("damage", ["removed", "cut", "flipped"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path, name: str, damage: str) -> None:
    older = checkpoint.write(tmp_path, some_state(1))
    newer = checkpoint.write(tmp_path, some_state(2))
    assert checkpoint.newest(tmp_path) == newer
    content = (newer / name).read_bytes()
    if damage == "removed":
        (newer / name).unlink()
    elif damage == "cut":
        (newer / name).write_bytes(content[: len(content) // 2])
    else:
        (newer / name).write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    assert checkpoint.newest(tmp_path) == older


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    def full(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        checkpoint.write(tmp_path, some_state(), full)
    assert list(tmp_path.iterdir()) == []


def test_pruning_keeps_the_newest_and_removes_leftovers_of_other_processes(tmp_path: Path) -> None:
    for step in range(1, 5):
        checkpoint.write(tmp_path, some_state(step))
    (tmp_path / ".step-00000009.999999").mkdir()
    mine = tmp_path / f".step-00000009.{os.getpid()}"
    mine.mkdir()
    removed = checkpoint.prune(tmp_path, keep=2)
    assert [folder.name for folder in removed] == ["step-00000001", "step-00000002"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["step-00000003", "step-00000004", mine.name])


def test_a_newer_format_is_refused_in_words(tmp_path: Path) -> None:
    folder = checkpoint.write(tmp_path, some_state())
    facts = json.loads((folder / "state.json").read_text())
    (folder / "state.json").write_text(json.dumps({**facts, "format": 99}))
    with pytest.raises(ConfigError, match="format 99"):
        checkpoint.read(folder)


def test_nothing_in_a_checkpoint_is_a_pickle(tmp_path: Path) -> None:
    folder = checkpoint.write(tmp_path, some_state())
    assert {path.suffix for path in folder.iterdir()} == {".safetensors", ".json"}


plain = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text(max_size=5)
trees = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.integers(0, 9) | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=60)
@given(trees)
def test_any_plain_tree_survives_json(tree: object) -> None:
    split, tensors = state_tree.split(tree)
    assert state_tree.join(json.loads(json.dumps(split)), tensors) == tree


def test_other_objects_in_a_state_are_refused() -> None:
    with pytest.raises(TypeError, match=r"/a.*function"):
        state_tree.split({"a": lambda: None})
