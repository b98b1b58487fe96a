from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from lorafleet.contracts.problems import ConfigError
from lorafleet.contracts.training import FREE_TO_CHANGE, TrainingConfig, from_mapping
from trainer.worker.places import local_config


def places(tmp_path: Path, secrets: Collection[str] = (), **keys: Any) -> dict[str, Any]:
    models = tmp_path / "models"
    (models / "llama").mkdir(parents=True, exist_ok=True)
    (models / "chat.jinja").touch()
    (tmp_path / "outside").touch()
    if not (models / "link").is_symlink():
        (models / "link").symlink_to(tmp_path / "outside")
    config = from_mapping({"train_data_dir": "data", "output_dir": "output", "base_model": "llama", **keys})
    return local_config(
        config,
        name="job-1",
        folder=tmp_path / "attempt",
        resume=None,
        models=models,
        cache=None,
        device="cpu",
        secrets=secrets,
    )


def test_places_are_this_machines_and_the_rest_is_the_jobs(tmp_path: Path) -> None:
    wanted = {"lora_rank": 3, "output_name": "style", "chat_template": "chat.jinja", "keep_checkpoints": 7}
    config = TrainingConfig.model_validate(places(tmp_path, **wanted))
    assert config.train_data_dir == str(tmp_path / "attempt" / "data")
    assert config.base_model == str(tmp_path / "models" / "llama")
    assert config.chat_template == str(tmp_path / "models" / "chat.jinja")
    assert (config.lora_rank, config.name, config.keep_checkpoints, config.resume) == (3, "style", 7, "never")


def test_another_machines_places_are_no_reason_not_to_go_on(tmp_path: Path) -> None:
    given = from_mapping({"train_data_dir": "data", "output_dir": "output", "base_model": "llama"}).model_dump()
    changed = {key for key, value in places(tmp_path).items() if value != given[key]}
    assert changed <= FREE_TO_CHANGE


@pytest.mark.parametrize(
    ("secrets", "given", "loggers"),
    [
        ([], ["jsonl"], ["jsonl"]),
        (["HF_TOKEN"], ["jsonl"], ["jsonl"]),
        (["HF_TOKEN", "WANDB_API_KEY"], ["jsonl"], ["jsonl", "wandb"]),
        (["WANDB_API_KEY"], ["wandb"], ["wandb"]),
    ],
)
def test_a_team_with_a_key_of_weights_and_biases_finds_its_runs_there(
    tmp_path: Path, secrets: list[str], given: list[str], loggers: list[str]
) -> None:
    assert places(tmp_path, secrets, loggers=given)["loggers"] == loggers


@pytest.mark.parametrize("key", ["base_model", "base_config", "chat_template", "metadata_path", "validation_data_dir"])
@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../outside", "a/../../outside", "s3://bucket/x", "file:///etc/passwd", "a\\b", "."]
)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, key: str, name: str) -> None:
    with pytest.raises(ConfigError, match=key):
        places(tmp_path, **{key: name})


def test_links_out_missing_files_and_paths_for_names_are_refused(tmp_path: Path) -> None:
    for keys, match in (
        ({"base_model": "link"}, "leads out"),
        ({"base_model": "none"}, "no such"),
        ({"output_name": "a/b"}, "without slashes"),
        ({"output_name": ".."}, "without slashes"),
    ):
        with pytest.raises(ConfigError, match=match):
            places(tmp_path, **keys)


def test_a_worker_without_models_says_so(tmp_path: Path) -> None:
    config = from_mapping({"train_data_dir": "data", "output_dir": "output", "base_model": "llama"})
    with pytest.raises(ConfigError, match="no models"):
        local_config(config, name="job-1", folder=tmp_path, resume=None, models=None, cache=None, device="cpu")
