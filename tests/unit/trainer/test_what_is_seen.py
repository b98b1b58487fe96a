"""What a person or a machine sees: samples, progress, throughput."""

import io
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from lorafleet.datasets.checks import CheckReport
from trainer import samples
from trainer.augmentations import Augmenter
from trainer.families.base import Sample
from trainer.reporting import ConsoleReporter, JsonReporter, StepFacts
from trainer.throughput import Throughput

FACTS = StepFacts(step=30, total=60, epoch=2, loss=0.5, learning_rate=1e-4, seconds=0.5, rate=8.0, unit="images", mfu=0.41)


def test_the_grid_has_a_row_per_step_and_a_column_per_prompt(tmp_path: Path) -> None:
    for step, colour in ((0, "red"), (30, "green"), (60, "blue")):
        drawn = [Sample(prompt, image=Image.new("RGB", (64, 64), colour)) for prompt in ("a cat", "a very long prompt " * 9)]
        paths = samples.save(tmp_path, step, drawn)
        assert [path.name for path in paths] == ["prompt-0.png", "prompt-1.png"]
    with Image.open(tmp_path / "grid.png") as grid:
        cells = [[grid.getpixel((96 + column * 256 + 100, 28 + row * 256 + 100)) for column in range(2)] for row in range(3)]
    assert cells == [[(255, 0, 0)] * 2, [(0, 128, 0)] * 2, [(0, 0, 255)] * 2]


def test_texts_are_samples_too(tmp_path: Path) -> None:
    (path,) = samples.save(tmp_path, 5, [Sample("who are you?", text="nobody")])
    assert path.read_text() == "who are you?\n---\nnobody\n"
    assert not (tmp_path / "grid.png").exists()


def test_progress_shows_loss_speed_and_eta() -> None:
    out = io.StringIO()
    reporter = ConsoleReporter(Console(file=out, width=200), every_seconds=0)
    reporter.step(FACTS)
    line = out.getvalue()
    for words in ("training 30/60", "loss 0.5000", "8 images/s", "2 steps/s", "MFU 41%", "ETA 0:15"):
        assert words in line


def test_a_terminal_gets_a_bar() -> None:
    out = io.StringIO()
    reporter = ConsoleReporter(Console(file=out, width=200, force_terminal=True))
    reporter.phase("encoding images", 1, 2)
    reporter.step(FACTS)
    reporter.close()
    assert "━" in out.getvalue()
    assert "loss 0.5000" in out.getvalue()


def test_machines_get_one_object_a_line() -> None:
    out = io.StringIO()
    reporter = JsonReporter(out)
    reporter.step(FACTS)
    reporter.data(CheckReport(findings=(), histogram={"64x64": 2}, count=2), "image")
    reporter.warn("careful")
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [event["event"] for event in events] == ["step", "data", "warning"]
    assert events[0]["loss"] == 0.5
    assert events[1]["report"]["count"] == 2


def test_mfu_is_the_counted_work_over_the_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 2.0, 3.0, 4.0])
    monkeypatch.setattr("trainer.throughput.time.perf_counter", lambda: next(clock))
    throughput = Throughput("rows", peak_flops=1e6)
    throughput.start()
    for step in range(3):
        with throughput.measured(step, weight=4):
            if step == 0:
                _ = torch.ones(4, 10) @ torch.ones(10, 20)
    # 2 x 4 x 10 x 20 FLOPs for four rows, four rows a second.
    assert throughput.mfu == pytest.approx(2 * 4 * 10 * 20 / 1e6)
    assert throughput.mean_steps_per_second == pytest.approx(1.0)


def test_time_beside_training_is_counted_and_pauses_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("trainer.throughput.time.perf_counter", lambda: now)
    throughput = Throughput("rows", peak_flops=None)
    throughput.start()
    for step in range(2):
        with throughput.measured(step, 1):
            now += 9.0
        with throughput.beside_training():
            now += 1.0
            with throughput.paused():
                now += 100.0
    assert throughput.beside_seconds == pytest.approx(2.0)
    assert throughput.training_seconds == pytest.approx(19.0)
    assert throughput.mfu is None


@given(st.integers(0, 3))
def test_combined_augmentations_give_every_combination(variant: int) -> None:
    augmenter = Augmenter(["flip", "quarter_turns"])
    assert augmenter.variants == 4
    image = Image.new("RGB", (2, 2))
    for number in range(4):
        image.putpixel((number % 2, number // 2), (number, 0, 0))
    results = {augmenter.apply(image, each).tobytes() for each in range(4)}
    assert len(results) == 4
    assert augmenter.apply(image, 0).tobytes() == image.tobytes()
    assert augmenter.apply(image, variant).size == image.size
