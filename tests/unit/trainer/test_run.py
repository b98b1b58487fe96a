"""The loop and its promises, on the example plug-in's small family."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lorafleet_example_plugin as plugin
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from lorafleet.contracts.problems import (
    ConfigError,
    LorafleetError,
    NonFiniteError,
    OutOfMemoryError,
    Preempted,
    StorageError,
)
from trainer import LoRATrainer, checkpoint
from trainer.memory import DeviceMemory
from trainer.reporting import SilentReporter
from trainer.run import TrainResult
from trainer.signals import StopRequests


class Spy(SilentReporter):
    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.news: list[str] = []
        self.steps: list[Any] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def say(self, text: str) -> None:
        self.news.append(text)

    def step(self, facts: Any) -> None:
        self.steps.append(facts)


@pytest.fixture(autouse=True)
def no_faults() -> Iterator[None]:
    plugin.FAULTS.clear()
    yield
    plugin.FAULTS.clear()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "waves.json"
    path.write_text(json.dumps([0.1 * number for number in range(10)]))
    return path


def values(data: Path, out: Path, **more: Any) -> dict[str, Any]:
    return {
        "train_data_dir": str(data),
        "base_model": str(data),
        "family": "waves",
        "output_dir": str(out),
        "lora_rank": 2,
        "batch_size": 4,
        "epochs": 4,
        "learning_rate": "1e-2",
        "export_precision": "fp32",
        "device": "cpu",
        **more,
    }


def train(data: Path, out: Path, **more: Any) -> TrainResult:
    return LoRATrainer(values(data, out, **more), reporter=Spy()).train()


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / f"{out.name}.safetensors")


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def close(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.allclose(first[name], second[name], atol=1e-6) for name in first)


def test_the_three_calls_of_the_readme_train_and_write_weights(data: Path, tmp_path: Path) -> None:
    t = LoRATrainer(values(data, tmp_path / "out"), reporter=SilentReporter())
    t.prepare_data()
    t.build_model()
    result = t.train()
    assert result.steps == 12
    assert result.files == (tmp_path / "out" / "out.safetensors",)
    assert (tmp_path / "out" / "data-report.json").exists()
    assert checkpoint.newest(tmp_path / "out" / "checkpoints") is not None


def test_training_lowers_the_loss(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "out", epochs=40, log_every=1)
    lines = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])


def test_two_runs_are_bitwise_equal_and_another_seed_is_not(data: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(data, tmp_path / name, seed=seed, output_name="w")
    first, second, third = (load_file(tmp_path / name / "w.safetensors") for name in "abc")
    assert same(first, second)
    assert not same(first, third)


@pytest.mark.parametrize("stop_after", [1, 2, 5, 11])
@pytest.mark.parametrize("optimizer", ["adamw", "adafactor", "heavy_ball"])
def test_a_stopped_run_goes_on_to_the_same_bits(data: Path, tmp_path: Path, stop_after: int, optimizer: str) -> None:
    more: dict[str, Any] = {
        "optimizer": optimizer,
        "lora_dropout": 0.2,
        "scheduler": "cosine",
        "warmup_steps": 3,
        "output_name": "w",
    }
    train(data, tmp_path / "whole", **more)
    stop = StopRequests()

    class StopsLater(Spy):
        def step(self, facts: Any) -> None:
            if facts.step == stop_after:
                stop.request()

    with pytest.raises(Preempted, match=rf"step {stop_after} of 12 is saved") as caught:
        LoRATrainer(values(data, tmp_path / "parts", **more), reporter=StopsLater(), stop=stop).train()
    assert caught.value.exit_code == 75
    assert not (tmp_path / "parts" / "w.safetensors").exists()
    result = train(data, tmp_path / "parts", **more)
    assert result.steps == 12
    assert same(load_file(tmp_path / "whole" / "w.safetensors"), load_file(tmp_path / "parts" / "w.safetensors"))


def test_a_finished_run_is_not_trained_again(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "out")
    before = weights(tmp_path / "out")
    plugin.FAULTS["never_fits"] = True
    train(data, tmp_path / "out")
    assert same(before, weights(tmp_path / "out"))


@pytest.mark.parametrize(
    ("key", "value"), [("learning_rate", 0.5), ("lora_rank", 3), ("seed", 7), ("optimizer", "sgd"), ("batch_size", 2)]
)
def test_a_run_does_not_go_on_with_other_settings(data: Path, tmp_path: Path, key: str, value: Any) -> None:
    train(data, tmp_path / "out")
    with pytest.raises((ConfigError), match=rf"began with another .*{key}"):
        train(data, tmp_path / "out", **{"epochs": 5, key: value})


def test_a_run_does_not_go_on_with_other_data(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "out")
    data.write_text(json.dumps([0.2] * 10))
    with pytest.raises(ConfigError, match="lorafleet_data_sha256"):
        train(data, tmp_path / "out", epochs=5)
    train(data, tmp_path / "out", resume="never")


def test_more_epochs_go_on_from_the_end(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "out", epochs=2)
    spy = Spy()
    LoRATrainer(values(data, tmp_path / "out", epochs=3), reporter=spy).train()
    assert [facts.step for facts in spy.steps] == [7, 8, 9]
    train(data, tmp_path / "whole", epochs=3, output_name="out")
    assert same(weights(tmp_path / "out"), load_file(tmp_path / "whole" / "out.safetensors"))


def test_accumulation_does_not_change_the_loss_or_the_weights(data: Path, tmp_path: Path) -> None:
    """With all ten rows in one step, how they are cut is all that differs."""
    results = [
        train(data, tmp_path / f"{b}x{a}", batch_size=b, gradient_accumulation=a, output_name="w")
        for b, a in ((10, 1), (5, 2), (3, 4))
    ]
    files = [load_file(tmp_path / name / "w.safetensors") for name in ("10x1", "5x2", "3x4")]
    assert close(files[0], files[1])
    assert close(files[0], files[2])
    assert results[0].loss == pytest.approx(results[2].loss, rel=1e-5)


def test_out_of_memory_halves_the_micro_batch_and_keeps_the_effective_batch(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "roomy", batch_size=10, output_name="w")
    plugin.FAULTS["rows_that_fit"] = 3
    spy = Spy()
    result = LoRATrainer(values(data, tmp_path / "tight", batch_size=10, output_name="w"), reporter=spy).train()
    assert result.micro_batch == 3
    assert result.steps == 4
    assert [text.split(":")[0] for text in spy.warnings] == ["out of memory at step 1"] * 2
    assert "micro-batches of 3, same effective batch" in spy.warnings[-1]
    assert close(load_file(tmp_path / "roomy" / "w.safetensors"), load_file(tmp_path / "tight" / "w.safetensors"))


def test_the_smaller_micro_batch_is_remembered_after_a_resume(data: Path, tmp_path: Path) -> None:
    plugin.FAULTS["rows_that_fit"] = 2
    train(data, tmp_path / "out", epochs=2)
    spy = Spy()
    LoRATrainer(values(data, tmp_path / "out", epochs=3), reporter=spy).train()
    assert spy.warnings == []


def test_with_one_row_activations_are_recomputed_and_then_it_is_over(data: Path, tmp_path: Path) -> None:
    plugin.FAULTS["rows_that_fit"] = 0
    spy = Spy()
    LoRATrainer(values(data, tmp_path / "out"), reporter=spy).train()
    assert "gradient checkpointing" in spy.warnings[-1]
    plugin.FAULTS["never_fits"] = True
    with pytest.raises(OutOfMemoryError, match="does not fit") as caught:
        train(data, tmp_path / "other")
    assert caught.value.exit_code == 71


@pytest.mark.parametrize(("share", "switched"), [(0.95, True), (0.5, False)])
def test_checkpointing_is_chosen_by_the_first_steps_memory(
    data: Path, tmp_path: Path, share: float, switched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DeviceMemory, "peak_share", lambda self: share)
    spy = Spy()
    LoRATrainer(values(data, tmp_path / "out"), reporter=spy).train()
    assert any("gradient checkpointing is on" in text for text in spy.news) is switched
    spy = Spy()
    LoRATrainer(values(data, tmp_path / "off", gradient_checkpointing=False), reporter=spy).train()
    assert not any("gradient checkpointing is on" in text for text in spy.news)


def test_a_loss_that_is_not_finite_stops_and_names_its_rows(data: Path, tmp_path: Path) -> None:
    plugin.FAULTS["poison"] = "wave-7"
    with pytest.raises(NonFiniteError, match="wave-7") as caught:
        train(data, tmp_path / "out", save_steps=1)
    assert caught.value.exit_code == 72
    newest = checkpoint.newest(tmp_path / "out" / "checkpoints")
    if newest is not None:
        assert all(torch.isfinite(tensor).all() for tensor in checkpoint.read(newest).lora.values())


def test_clipping_really_clips(data: Path, tmp_path: Path) -> None:
    """diffusers' SD 1.5 script gives the same weights for 1e-12 and 1.0, as it clips an exhausted iterator."""
    more = {"optimizer": "sgd", "weight_decay": 0.0, "output_name": "w"}
    train(data, tmp_path / "none", max_grad_norm=0, **more)
    train(data, tmp_path / "hard", max_grad_norm=1e-12, **more)
    moved, held = (load_file(tmp_path / name / "w.safetensors") for name in ("none", "hard"))
    ups = [name for name in moved if name.endswith("up")]
    assert all(moved[name].norm() > 1e-4 for name in ups)
    assert all(held[name].norm() < 1e-10 for name in ups)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lora_weights_stay_fp32_in_lower_precision(data: Path, tmp_path: Path, precision: str) -> None:
    trainer = LoRATrainer(values(data, tmp_path / "out", precision=precision), reporter=Spy())
    trainer.train()
    state = checkpoint.read(checkpoint.newest(tmp_path / "out" / "checkpoints"))  # type: ignore[arg-type]
    assert {tensor.dtype for tensor in state.lora.values()} == {torch.float32}
    coarse = torch.bfloat16 if precision == "bf16" else torch.float16
    ups = [tensor for name, tensor in state.lora.items() if "lora_B" in name]
    assert any(not torch.equal(tensor, tensor.to(coarse).float()) for tensor in ups)


@pytest.mark.parametrize("phase", ["encode_seconds", "sample_seconds"])
def test_sigterm_is_obeyed_while_encoding_and_sampling(data: Path, tmp_path: Path, phase: str) -> None:
    import threading

    plugin.FAULTS[phase] = 30
    stop = StopRequests()
    threading.Timer(0.3, stop.request).start()
    with pytest.raises(Preempted, match="told to stop"):
        LoRATrainer(values(data, tmp_path / "out", sample_prompts=["x"]), reporter=Spy(), stop=stop).train()


def test_sigterm_is_obeyed_while_validating(data: Path, tmp_path: Path) -> None:
    stop = StopRequests()

    class StopsBeforeValidation(Spy):
        def step(self, facts: Any) -> None:
            if facts.step == 3:
                stop.request()

    reporter = StopsBeforeValidation()
    with pytest.raises(Preempted, match="step 3 of"):
        LoRATrainer(values(data, tmp_path / "out", validation_split=0.2, validate_every=3), reporter=reporter, stop=stop).train()
    assert "validation_loss" not in (tmp_path / "out" / "log.jsonl").read_text()
    newest = checkpoint.newest(tmp_path / "out" / "checkpoints")
    assert newest is not None
    assert newest.name == "step-00000003"


def test_a_full_disk_while_training_costs_a_checkpoint_and_not_the_run(data: Path, tmp_path: Path) -> None:
    plugin.FAULTS["disk_full"] = 2
    spy = Spy()
    result = LoRATrainer(values(data, tmp_path / "out", save_steps=2), reporter=spy).train()
    assert result.steps == 12
    assert [text for text in spy.warnings if "was not saved: the disk is full" in text]
    assert checkpoint.newest(tmp_path / "out" / "checkpoints") is not None


def test_a_disk_that_stays_full_at_the_end_is_waited_for_and_then_named(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.outputs._RETRY_SECONDS", (0.0, 0.0))
    plugin.FAULTS["disk_full"] = 10**6
    with pytest.raises(StorageError, match="the disk is full") as caught:
        train(data, tmp_path / "out")
    assert caught.value.exit_code == 74


def test_an_output_that_cannot_be_written_is_found_before_training(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    trainer = LoRATrainer(values(data, tmp_path / "file" / "out"), reporter=Spy())
    with pytest.raises(StorageError, match="output_dir cannot be written"):
        trainer.prepare_data()


def test_too_little_room_is_found_before_training(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))  # type: ignore[attr-defined]
    with pytest.raises(StorageError, match="free"):
        LoRATrainer(values(data, tmp_path / "out"), reporter=Spy()).prepare_data()


def test_damaged_checkpoints_are_passed_over(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "out", epochs=2, save_steps=2)
    whole = tmp_path / "whole"
    train(data, whole, epochs=4, output_name="out")
    newest = checkpoint.newest(tmp_path / "out" / "checkpoints")
    assert newest is not None
    (newest / "lora.safetensors").write_bytes(b"")
    spy = Spy()
    LoRATrainer(values(data, tmp_path / "out", epochs=4), reporter=spy).train()
    assert spy.steps[0].step == 5
    assert same(weights(tmp_path / "out"), load_file(whole / "out.safetensors"))


def test_every_kind_of_plug_in_is_found(data: Path, tmp_path: Path) -> None:
    from trainer.augmentations import AUGMENTATIONS
    from trainer.losses import LOSSES

    train(data, tmp_path / "out", optimizer="heavy_ball", scheduler="staircase", loggers=["memory"], log_every=1)
    rates = [entry["learning_rate"] for _, entry in plugin.LOGGED if "learning_rate" in entry]
    assert rates[0] == pytest.approx(1e-2)
    assert rates[-1] == pytest.approx(5e-3)
    assert AUGMENTATIONS.get("quarter_turns") is plugin.QuarterTurns
    assert LOSSES.get("absolute") is plugin.absolute


def test_validation_loss_is_logged_and_repeatable(data: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        train(data, tmp_path / name, validation_split=0.2, validate_every=3)
    logs = [
        [
            json.loads(line)["validation_loss"]
            for line in (tmp_path / name / "log.jsonl").read_text().splitlines()
            if "validation_loss" in line
        ]
        for name in ("a", "b")
    ]
    assert len(logs[0]) == 4
    assert logs[0] == logs[1]
    assert all(math.isfinite(loss) for loss in logs[0])


def test_the_weights_say_where_they_come_from_and_no_path(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "out")
    with safe_open(tmp_path / "out" / "out.safetensors", "pt") as file:
        header = file.metadata()
    assert header["lorafleet_base_sha256"] == "waves"
    assert json.loads(header["lorafleet_config"])["lora_rank"] == 2
    assert header["lorafleet_step"] == "12"
    assert str(tmp_path) not in json.dumps(header)


def test_errors_before_training_leave_no_checkpoint(data: Path, tmp_path: Path) -> None:
    with pytest.raises(LorafleetError):
        train(data, tmp_path / "out", optimizer="nonsense")
    assert checkpoint.all_steps(tmp_path / "out" / "checkpoints") == []
