"""The documentation says what is."""

import re
from pathlib import Path

import pytest
import yaml

from lorafleet.contracts.outcomes import ExitCode
from lorafleet.contracts.training import TrainingConfig, from_mapping, load
from trainer.families.catalog import FAMILIES
from trainer.loggers.group import LOGGERS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "README.zh.md", *sorted((ROOT / "docs").rglob("*.md"))]
LOCAL_LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("name", ["default", "sd15", "sdxl", "llm"])
def test_every_recipe_is_valid(name: str) -> None:
    config = load(ROOT / "configs" / f"{name}.yaml")
    assert set(config.loggers) <= set(LOGGERS.names())
    assert config.family == "auto" or config.family in FAMILIES.names()


def test_the_default_recipe_is_read_unchanged_as_plain_yaml() -> None:
    values = yaml.safe_load((ROOT / "configs" / "default.yaml").read_text(encoding="utf-8"))
    assert values["learning_rate"] == "2e-4"  # YAML 1.1 has no such number
    assert from_mapping(values).learning_rate == 2e-4
    assert set(values) == {
        "train_data_dir", "metadata_path", "base_model", "lora_rank", "batch_size", "epochs", "learning_rate", "output_dir", "save_steps",
    }  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in LOCAL_LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_every_exit_code_is_explained() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text[text.index("## Exit codes") :]
    for code in ExitCode:
        assert re.search(rf"\b{code.value}\b", table), code


def test_keys_that_the_guide_names_exist() -> None:
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    for key in re.findall(r"`([a-z]+_[a-z_]+)(?::[^`]*)?`", text):
        assert key in TrainingConfig.model_fields or key in {"file_name", "adapter_config", "adapter_model"}, key
