"""The form of a new job: every key has an input, what is filled in is what is asked for, and the command asks for the same."""

import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafleet.console.domain.estimate import memory_gib
from lorafleet.console.domain.requests import checked_training
from lorafleet.console.web.config_text import as_command, as_yaml
from lorafleet.console.web.job_form import ESSENTIAL, PREFIX, asked, essential, filled_from, groups, text_of, value_of
from lorafleet.console.web.language import language
from lorafleet.console.web.presets import PRESETS, Goal, Preset, find, of_goal
from lorafleet.contracts.console_api import NOT_SETTABLE
from lorafleet.contracts.document import parse
from lorafleet.contracts.training import TrainingConfig, parse_overrides

ENGLISH = language("en")
TRAINING = {
    "base_model": st.text(min_size=1).map(str.strip).filter(lambda text: text.isprintable() and text != ""),
    "trigger_word": st.sampled_from(["", "ohwx", "yes", "007", "a: b", "1e5"]),
    "epochs": st.integers(1, 1000),
    "learning_rate": st.floats(1e-7, 1.0),
    "dora": st.booleans(),
    "gradient_checkpointing": st.sampled_from([True, False, "auto"]),
    "sample_prompts": st.lists(st.sampled_from(["a cat", "no", "#1", "霓虹 城市"]), max_size=3),
    "lora_targets": st.sampled_from(["attention", ["to_q", "to_k"]]),
    "optimizer_args": st.sampled_from([{}, {"eps": 1e-8}]),
}


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.id)
def test_a_preset_is_a_job_that_fits_its_card(preset: Preset) -> None:
    config = checked_training(preset.training)
    needed = memory_gib(config)
    assert needed is None or needed <= preset.memory_gib
    wanted = asked(filled_from({"dataset": "set-1"}, preset))
    assert wanted.problems == {}
    assert wanted.request is not None
    assert wanted.request.training == dict(preset.training)
    assert wanted.request.min_memory_mib == preset.min_memory_mib
    assert find(preset.id) is preset


def test_every_goal_has_presets_and_ids_are_single() -> None:
    assert all(of_goal(goal) for goal in Goal)
    assert len({preset.id for preset in PRESETS}) == len(PRESETS)


def test_every_key_that_may_be_set_has_one_input_with_its_explanation() -> None:
    filled = filled_from({}, None)
    fields = [field for group in groups(ENGLISH, filled) for field in group.fields] + list(essential(ENGLISH, filled))
    assert sorted(field.key for field in fields) == sorted(set(TrainingConfig.model_fields) - NOT_SETTABLE)
    assert all(field.explanation for field in fields)
    assert set(ESSENTIAL) <= {field.key for field in fields}


@given(st.fixed_dictionaries({}, optional=TRAINING))
def test_what_is_shown_and_read_back_asks_for_the_same(training: dict[str, Any]) -> None:
    shown = {PREFIX + key: text_of(value) for key, value in training.items()}
    read = {key.removeprefix(PREFIX): value_of(key.removeprefix(PREFIX), text) for key, text in shown.items() if text.strip()}
    wanted, got = checked_training({"base_model": "b", **training}), checked_training({"base_model": "b", **read})
    assert got.model_dump(exclude={"learning_rate"}) == wanted.model_dump(exclude={"learning_rate"})
    assert got.learning_rate == pytest.approx(wanted.learning_rate, rel=1e-5)


@given(st.fixed_dictionaries({}, optional=TRAINING))
def test_the_file_and_the_command_ask_for_the_same(training: dict[str, Any]) -> None:
    assert (parse(as_yaml(training), "job.yaml").value or {}) == training
    words = shlex.split(as_command("set-1", "a name", training, gpus=1, priority=-3))
    assert words[:11] == ["lorafleet", "job", "submit", "--dataset", "set-1", "--name", "a name", "--gpus", "1", "--priority", "-3"]
    assert parse_overrides(words[11:]) == training


def test_problems_stand_at_their_inputs() -> None:
    form = {
        "training.epochs": "many",
        "training.lora_rank": "0",
        "training.optimizer_args": "{",
        "gpus": "two",
        "training.base_model": " ",
    }
    wanted = asked(filled_from(form, None))
    assert wanted.request is None
    assert set(wanted.problems) == {
        "training.epochs", "training.lora_rank", "training.optimizer_args", "gpus", "dataset", "training.base_model",
    }  # fmt: skip


def test_keys_of_the_worker_are_not_taken_from_a_form() -> None:
    filled = filled_from(
        {"training.output_dir": "/etc", "training.base_model": "b", "training.nonsense": "1", "dataset": "s"}, None
    )
    assert set(filled.training) == {"base_model"}
