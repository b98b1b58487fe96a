import json
import os
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lorafleet.contracts.metrics import TRAINER
from lorafleet.contracts.problems import ConfigError
from lorafleet.contracts.training import from_mapping
from trainer.loggers.base import RunFacts
from trainer.loggers.group import LoggerGroup
from trainer.loggers.jsonl import JsonLinesLogger, read_log
from trainer.loggers.picture import draw_loss, smoothed
from trainer.loggers.prometheus import PrometheusLogger


def facts(folder: Path, resumed: int = 0, **more: Any) -> RunFacts:
    config = from_mapping({"train_data_dir": "d", "base_model": "b", "output_dir": str(folder), **more})
    return RunFacts("my_style", folder, config, resumed, 100, {})


def fill(group: LoggerGroup, steps: range) -> None:
    for step in steps:
        group.scalars(step, {"loss": 1 / step, "learning_rate": 1e-4})


def test_jsonl_holds_each_step_once_after_a_resume(tmp_path: Path) -> None:
    group = LoggerGroup.open(facts(tmp_path), pytest.fail)
    fill(group, range(1, 8))
    # The process is killed here, in the middle of a line.
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 8, "lo')
    group = LoggerGroup.open(facts(tmp_path, resumed=5), pytest.fail)
    fill(group, range(6, 10))
    group.close("finished")
    assert [line["step"] for line in read_log(tmp_path / "log.jsonl")] == list(range(1, 10))


def test_every_line_is_strict_json(tmp_path: Path) -> None:
    group = LoggerGroup.open(facts(tmp_path), pytest.fail)
    group.scalars(1, {"loss": 1.5, "grad_norm": float("inf"), "other": float("nan")})
    group.close("finished")
    line = json.loads((tmp_path / "log.jsonl").read_text(), parse_constant=pytest.fail)
    assert line == {"step": 1, "loss": 1.5, "grad_norm": None, "other": None}


def test_a_new_run_starts_a_new_log(tmp_path: Path) -> None:
    for _ in range(2):
        group = LoggerGroup.open(facts(tmp_path), pytest.fail)
        fill(group, range(1, 3))
        group.close("finished")
    assert len(read_log(tmp_path / "log.jsonl")) == 2


def test_tensorboard_shows_scalars_images_and_texts_and_forgets_undone_steps(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    first = LoggerGroup.open(facts(tmp_path, loggers="tensorboard"), pytest.fail)
    fill(first, range(1, 6))
    first.close("preempted")
    second = LoggerGroup.open(facts(tmp_path, resumed=3, loggers="tensorboard"), pytest.fail)
    second.scalars(4, {"loss": 9.0})
    second.image(4, "sample/0", tmp_path / "a.png")
    second.text(4, "sample/1", "words")
    second.close("finished")
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, round(event.value, 3)) for event in events.Scalars("loss")] == [(1, 1.0), (2, 0.5), (3, 0.333), (4, 9.0)]
    assert events.Images("sample/0")[0].width == 8
    assert "sample/1/text_summary" in events.Tags()["tensors"]


def test_wandb_offline_keeps_the_run_and_leaks_neither_key_nor_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef0123456789abcdef01234567")
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    warnings: list[str] = []
    group = LoggerGroup.open(facts(tmp_path, loggers="wandb"), warnings.append)
    fill(group, range(1, 4))
    group.image(4, "sample/0", tmp_path / "a.png")
    group.close("finished")
    assert warnings == []
    again = LoggerGroup.open(facts(tmp_path, resumed=3, loggers="wandb"), warnings.append)
    again.close("finished")
    assert warnings == []
    runs = sorted((tmp_path / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len({run.name for run in runs}) == 1
    content = runs[0].read_bytes()
    assert b"learning_rate" in content
    assert b"0123456789abcdef" not in content
    assert b"train_data_dir" not in content


def test_prometheus_serves_the_newest_numbers_on_loopback_only(tmp_path: Path) -> None:
    logger = PrometheusLogger()
    logger.start(facts(tmp_path))
    logger.scalars(3, {"loss": 0.5})
    logger.scalars(4, {"loss": 0.25, "plugin/s own": 1.0})
    assert logger._server.server_address[0] == "127.0.0.1"
    with urllib.request.urlopen(f"http://127.0.0.1:{logger.port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    assert 'lorafleet_train_loss{run="my_style"} 0.25' in text
    assert 'lorafleet_train_step{run="my_style"} 4.0' in text
    assert 'lorafleet_train_plugin_s_own{run="my_style"} 1.0' in text
    for metric in TRAINER:
        if metric.name in ("lorafleet_train_loss", "lorafleet_train_step"):
            assert f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {metric.kind}" in text
    logger.finish("finished")
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{logger.port}/metrics", timeout=5)


class Broken(JsonLinesLogger):
    def __init__(self, breaks_at: str) -> None:
        super().__init__()
        self._breaks_at = breaks_at
        self.ended: list[str] = []

    def start(self, run: RunFacts) -> None:
        if self._breaks_at == "start":
            raise PermissionError(13, "Permission denied")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        raise OSError(28, "No space left on device")

    def finish(self, ended: str) -> None:
        self.ended.append(ended)
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("breaks_at", ["start", "scalars"])
def test_a_failing_logger_is_warned_of_once_and_the_others_go_on(tmp_path: Path, breaks_at: str) -> None:
    warnings: list[str] = []
    broken, whole = Broken(breaks_at), JsonLinesLogger()
    group = LoggerGroup({"broken": broken, "jsonl": whole}, warnings.append)
    group._tell(lambda logger: logger.start(facts(tmp_path)))
    fill(group, range(1, 4))
    group.close("finished")
    assert len(warnings) == 1
    assert "'broken' failed" in warnings[0]
    assert broken.ended == ["failed"]
    assert len(read_log(tmp_path / "log.jsonl")) == 3


def test_a_full_disk_ends_the_log_and_not_the_run(tmp_path: Path) -> None:
    warnings: list[str] = []
    full = JsonLinesLogger()
    group = LoggerGroup({"jsonl": full}, warnings.append)
    group._tell(lambda logger: logger.start(facts(tmp_path)))
    assert full._file is not None
    full._file.close()
    full._file = os.fdopen(os.open("/dev/full", os.O_WRONLY), "w")
    fill(group, range(1, 4))
    group.close("finished")
    assert len(warnings) == 1
    assert "No space left on device" in warnings[0]


def test_an_unknown_logger_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'tensorboard'"):
        LoggerGroup.open(facts(tmp_path, loggers="tensorbord"), pytest.fail)


def test_the_loss_is_drawn(tmp_path: Path) -> None:
    lines = [{"step": step, "loss": 1 / step, "learning_rate": 1e-4} for step in range(1, 50)]
    lines += [{"step": step, "validation_loss": 1.1 / step} for step in (10, 20)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    draw_loss(tmp_path / "log.jsonl", tmp_path / "loss.png")
    with Image.open(tmp_path / "loss.png") as picture:
        assert picture.size == (960, 480)
        colours = {colour for _, colour in picture.convert("RGB").getcolors(maxcolors=2**24) or []}
    assert (0x1F, 0x5A, 0x9E) in colours
    assert (0xD1, 0x49, 0x5B) in colours
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_no_numbers_no_picture(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"step": 1, "validation_loss": 2.0}\n')
    draw_loss(tmp_path / "log.jsonl", tmp_path / "loss.png")
    assert not (tmp_path / "loss.png").exists()


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50))
def test_smoothing_stays_within_what_it_smooths(values: list[float]) -> None:
    for count, value in enumerate(smoothed(values), start=1):
        assert min(values[:count]) - 1e-6 <= value <= max(values[:count]) + 1e-6 * max(1, max(values))
    assert smoothed([3.0] * 5) == pytest.approx([3.0] * 5)
