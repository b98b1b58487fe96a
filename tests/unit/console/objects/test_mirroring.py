"""Finished weights in a backup."""

import hashlib
from pathlib import Path

import pytest

from lorafleet.cli import main
from lorafleet.console.objects.errors import ObjectDamaged
from lorafleet.console.objects.folder import FolderStore
from lorafleet.console.objects.mirroring import Done, mirror_outputs
from lorafleet.contracts import layout
from lorafleet.contracts.problems import ConfigError

WEIGHTS = layout.output_object("job-1", 2, "lora.safetensors")
STEP = layout.step_object("job-1", 2, 10, "adapter.safetensors")


def put(store: FolderStore, key: str, data: bytes) -> None:
    store.write(key, data, hashlib.sha256(data).hexdigest())


@pytest.fixture
def stores(tmp_path: Path) -> tuple[FolderStore, FolderStore]:
    source, target = FolderStore("source", tmp_path / "source"), FolderStore("target", tmp_path / "target")
    put(source, WEIGHTS, b"weights")
    put(source, STEP, b"a checkpoint")
    put(source, layout.dataset_object("d", "v", "1.png"), b"a picture")
    return source, target


def test_finished_files_and_nothing_else_are_copied(stores: tuple[FolderStore, FolderStore]):
    source, target = stores
    assert [(each.key, each.size, each.done) for each in mirror_outputs(source, target)] == [(WEIGHTS, 7, Done.COPIED)]
    assert b"".join(target.read(WEIGHTS)) == b"weights"
    assert [facts.key for facts in target.list("jobs/")] == [WEIGHTS]


def test_again_moves_nothing_and_reads_nothing(stores: tuple[FolderStore, FolderStore], monkeypatch: pytest.MonkeyPatch):
    source, target = stores
    list(mirror_outputs(source, target))
    monkeypatch.setattr(FolderStore, "digest", lambda *_: pytest.fail("read back"))
    assert [each.done for each in mirror_outputs(source, target)] == [Done.THERE]


def test_a_lost_copy_comes_back(stores: tuple[FolderStore, FolderStore]):
    source, target = stores
    list(mirror_outputs(source, target))
    target.delete(WEIGHTS)
    assert [each.done for each in mirror_outputs(source, target)] == [Done.REPAIRED]
    assert b"".join(target.read(WEIGHTS)) == b"weights"


def test_verify_finds_a_copy_that_was_damaged_in_place(stores: tuple[FolderStore, FolderStore], tmp_path: Path):
    source, target = stores
    list(mirror_outputs(source, target))
    next((tmp_path / "target").rglob("lora.safetensors")).write_bytes(b"WEIGHTS")
    assert [each.done for each in mirror_outputs(source, target)] == [Done.THERE]
    assert [each.done for each in mirror_outputs(source, target, verify=True)] == [Done.REPAIRED]
    assert b"".join(target.read(WEIGHTS)) == b"weights"


def test_a_source_that_was_damaged_later_does_not_reach_the_backup(stores: tuple[FolderStore, FolderStore]):
    source, target = stores
    list(mirror_outputs(source, target))
    target.delete(WEIGHTS)
    put(source, WEIGHTS, b"WEIGHTS")
    with pytest.raises(ObjectDamaged, match="not what it was"):
        list(mirror_outputs(source, target))
    assert target.head(WEIGHTS) is None
    later = layout.output_object("job-2", 1, "lora.safetensors")
    put(source, later, b"later")
    with pytest.raises(ObjectDamaged, match="not what it was"):
        list(mirror_outputs(source, target))
    assert b"".join(target.read(later)) == b"later"


def test_the_command_says_what_it_did(stores: tuple[FolderStore, FolderStore], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    urls = [f"file://{tmp_path / name}" for name in ("source", "target")]
    assert main(["mirror", *urls]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 copied, 0 repaired, 0 there already; 7 bytes moved"
    assert main(["mirror", *urls, "--json"]) == 0
    assert '"done": "there"' in capsys.readouterr().out
    assert main(["mirror", "nowhere", urls[1]]) == ConfigError.exit_code
    assert "is no store" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "is_one"),
    [
        (WEIGHTS, True),
        (STEP, False),
        ("jobs/job-1/output/0/lora.safetensors", False),
        ("jobs/job-1/output/02/lora.safetensors", False),
        ("jobs/job-1/output/2/a/../b", False),
        ("jobs/job-1/output/2/", False),
        ("jobs/job_1/output/2/lora.safetensors", False),
    ],
)
def test_keys_of_finished_files(key: str, is_one: bool):
    assert layout.is_output(key) is is_one
