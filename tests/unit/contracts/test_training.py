from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lorafleet.contracts.problems import ConfigError, NoInputError, UsageError
from lorafleet.contracts.training import (
    FREE_TO_CHANGE,
    GROUPS,
    TrainingConfig,
    explain_key,
    from_mapping,
    load,
    parse_overrides,
    type_name,
)

KEYS = tuple(TrainingConfig.model_fields)
LEAST = {"train_data_dir": "data", "base_model": "base.safetensors", "output_dir": "out/my_style"}
# As a user writes it; plain yaml.safe_load makes the text '2e-4' of the learning rate.
USERS = """\
train_data_dir: ./data/style_train
metadata_path: ./data/style_train/metadata.csv
base_model: ./models/Stable-diffusion/v1-5-pruned.safetensors
lora_rank: 8
batch_size: 4
epochs: 10
learning_rate: 2e-4
output_dir: ./output/my_style_lora
save_steps: 100
"""


def written(folder: Path, text: str = USERS) -> Path:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(values: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        from_mapping({**LEAST, **values})
    return [str(problem) for problem in caught.value.problems]


def test_what_safe_load_gives_is_accepted_unchanged() -> None:
    values = yaml.safe_load(USERS)
    assert values["learning_rate"] == "2e-4"
    config = from_mapping(values)
    assert config.learning_rate == 0.0002
    assert (config.lora_rank, config.batch_size, config.epochs, config.save_steps) == (8, 4, 10, 100)
    assert config.name == "my_style_lora"


def test_a_file_gives_the_same_as_its_mapping(tmp_path: Path) -> None:
    assert load(written(tmp_path)) == from_mapping(yaml.safe_load(USERS))


@pytest.mark.parametrize("text", ["2e-4", "2E-4", "0.0002", " 2e-4 ", "2.0e-04"])
def test_numbers_written_as_text(text: str) -> None:
    assert from_mapping({**LEAST, "learning_rate": text}).learning_rate == 0.0002


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("learning_rate", "fast"),
        ("learning_rate", True),
        ("learning_rate", "nan"),
        ("learning_rate", "inf"),
        ("learning_rate", 0),
        ("lora_rank", -1),
        ("lora_rank", True),
        ("lora_rank", 8.5),
        ("batch_size", "many"),
        ("precision", "fp8"),
        ("caption_dropout", 1),
        ("seed", 2**63),
        ("bucket_step", 12),
        ("buckets", "perhaps"),
        ("train_data_dir", None),
    ],
)
def test_an_ill_typed_value_names_its_key(key: str, value: Any) -> None:
    found = refused({key: value})
    assert found
    assert all(problem.startswith(f"configuration: {key}: ") for problem in found), found


def test_an_unknown_key_names_line_key_and_nearest(tmp_path: Path) -> None:
    path = written(tmp_path, USERS.replace("lora_rank: 8", "lora_rnk: 8"))
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == f"{path}:4: unknown key 'lora_rnk' (did you mean 'lora_rank'?)"


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, USERS + "epochs: 3\n")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == f"{path}:10: key 'epochs' stands twice, first on line 6 (keep one)"


def test_overrides_lie_over_the_file_and_errors_in_them_name_no_line(tmp_path: Path) -> None:
    path = written(tmp_path)
    config = load(
        path,
        parse_overrides(["epochs=3", "learning_rate=1e-3", "sample_prompts=[a cat, a dog]", "trigger_word=''", "buckets=false"]),
    )
    assert (config.epochs, config.learning_rate, config.sample_prompts) == (3, 0.001, ["a cat", "a dog"])
    assert config.buckets is False
    assert config.lora_rank == 8
    with pytest.raises(ConfigError) as caught:
        load(path, {"epochs": "many"})
    assert str(caught.value).startswith(f"{path}: epochs: ")
    with pytest.raises(ConfigError, match="did you mean 'epochs'"):
        load(path, {"epoch": 3})


@pytest.mark.parametrize("word", ["epochs", "=3", "--epochs"])
def test_an_override_is_key_and_value(word: str) -> None:
    with pytest.raises(UsageError, match="key=value"):
        parse_overrides([word])


def test_an_override_that_is_no_yaml_is_named() -> None:
    with pytest.raises(ConfigError, match="sample_prompts="):
        parse_overrides(["sample_prompts=[a"])


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(NoInputError, match=r"nowhere.yaml: cannot read .*No such file"):
        load(tmp_path / "nowhere.yaml")
    (tmp_path / "latin.yaml").write_bytes("trigger_word: é\n".encode("latin-1"))
    with pytest.raises(NoInputError, match="UTF-8"):
        load(tmp_path / "latin.yaml")
    with pytest.raises(ConfigError, match="expected keys and values"):
        load(written(tmp_path, "- a\n"), {"epochs": 1})


def test_keys_that_exclude_each_other() -> None:
    assert "exclude each other" in refused({"validation_split": 0.1, "validation_data_dir": "held_out"})[0]
    assert "needs train_text_encoder" in refused({"text_encoder_learning_rate": 1e-5})[0]


def test_one_name_stands_for_a_list_of_one() -> None:
    config = from_mapping({**LEAST, "loggers": "wandb", "sample_prompts": "a cat", "augmentations": "flip"})
    assert (config.loggers, config.sample_prompts, config.augmentations) == (["wandb"], ["a cat"], ["flip"])


def test_what_follows_from_other_keys() -> None:
    assert from_mapping({**LEAST, "lora_rank": 16}).alpha == 16
    assert from_mapping({**LEAST, "lora_rank": 16, "lora_alpha": 4}).alpha == 4
    assert from_mapping({**LEAST, "output_dir": "s3://bucket/runs/cat/"}).name == "cat"
    assert from_mapping({**LEAST, "output_name": "dog"}).name == "dog"


@pytest.mark.parametrize("key", KEYS)
def test_each_key_has_a_group_a_description_and_an_explanation(key: str) -> None:
    info = TrainingConfig.model_fields[key]
    assert isinstance(info.json_schema_extra, dict)
    assert info.json_schema_extra["group"] in GROUPS
    assert info.description
    assert info.description.endswith(".")
    explained = explain_key(key)
    assert explained.startswith(f"{key}: ")
    assert info.description in explained
    assert ("must be given" in explained) == info.is_required()
    assert "value;" not in explained, "the type has no words"


def test_each_group_has_keys_that_stand_together() -> None:
    groups = [
        info.json_schema_extra["group"] for info in TrainingConfig.model_fields.values() if isinstance(info.json_schema_extra, dict)
    ]
    assert list(dict.fromkeys(groups)) == list(GROUPS)
    assert groups == sorted(groups, key=GROUPS.index)


def test_explaining_a_key_that_is_none() -> None:
    with pytest.raises(ConfigError, match="did you mean 'lora_rank'"):
        explain_key("lora_rnk")
    with pytest.raises(ConfigError, match="--explain all"):
        explain_key("zzz")


def test_types_in_words() -> None:
    properties = TrainingConfig.model_json_schema()["properties"]
    assert type_name(properties["lora_rank"]) == "whole number ≥ 1, ≤ 1024"
    assert type_name(properties["precision"]) == "auto | fp32 | bf16 | fp16"
    assert type_name(properties["gradient_checkpointing"]) == "true or false or auto"
    assert type_name(properties["sample_prompts"]) == "list of text"
    assert type_name(properties["bucket_step"]) == "whole number ≥ 8, a multiple of 8"


def test_what_may_change_on_resuming_are_keys() -> None:
    assert set(KEYS) >= FREE_TO_CHANGE
    assert not {"seed", "lora_rank", "learning_rate", "batch_size", "optimizer", "resolution"} & FREE_TO_CHANGE


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "lora_rank": st.integers(1, 1024),
            "lora_alpha": st.none() | st.floats(1e-3, 1e3),
            "learning_rate": st.floats(1e-8, 1),
            "batch_size": st.integers(1, 64),
            "caption_dropout": st.floats(0, 0.99),
            "lora_targets": st.sampled_from(["attention", "transformer"]) | st.lists(st.just("to_q"), max_size=2),
            "gradient_checkpointing": st.sampled_from([True, False, "auto"]),
            "sample_prompts": st.lists(st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=10), max_size=3),
            "seed": st.integers(0, 2**63 - 1),
            "optimizer_args": st.dictionaries(st.just("betas"), st.just([0.9, 0.99])),
        },
    )
)
def test_every_configuration_is_written_and_read_back(values: dict[str, Any]) -> None:
    config = from_mapping({**LEAST, **values})
    assert TrainingConfig.model_validate_json(config.model_dump_json()) == config
    assert from_mapping(yaml.safe_load(yaml.safe_dump(config.model_dump(mode="json")))) == config


def test_a_configuration_does_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        from_mapping(LEAST).lora_rank = 3  # type: ignore[misc]
