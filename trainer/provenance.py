"""What a weights file says of its own origin, and what a run must have in common with its checkpoint."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from lorafleet.contracts.training import FREE_TO_CHANGE, TrainingConfig
from trainer.versions import library_versions

# Paths and names of machines are nobody's business but the owner's.
_PRIVATE = frozenset(
    {"train_data_dir", "metadata_path", "validation_data_dir", "base_model", "base_config", "output_dir", "cache_dir"}
)


def fingerprint(config: TrainingConfig, facts: Mapping[str, str]) -> dict[str, Any]:
    """What decides the numbers of a run: settings, data, base and rows per step."""
    settings = config.model_dump(mode="json", exclude=set(FREE_TO_CHANGE))
    return {**settings, **{key: facts[key] for key in ("lorafleet_data_sha256", "lorafleet_base_sha256", "rows_per_step")}}


def public_settings(config: TrainingConfig) -> dict[str, Any]:
    """The settings without paths."""
    return config.model_dump(mode="json", exclude=set(_PRIVATE))


def header(config: TrainingConfig, facts: Mapping[str, str], step: int, epoch: int) -> dict[str, str]:
    """Provenance for the header of an exported file; every value is text."""
    return {
        **facts,
        "lorafleet_config": json.dumps(public_settings(config), sort_keys=True, ensure_ascii=False),
        "lorafleet_versions": json.dumps(library_versions(), sort_keys=True),
        "lorafleet_step": str(step),
        "lorafleet_epoch": str(epoch),
        "lorafleet_trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
