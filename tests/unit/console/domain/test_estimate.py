"""Estimates: exact in steps, sane in the rest."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafleet.console.domain.estimate import estimate, memory_gib, steps
from lorafleet.console.domain.requests import checked_training
from lorafleet.contracts.problems import ConfigError
from lorafleet.contracts.training import TrainingConfig


def config(**keys: Any) -> TrainingConfig:
    return checked_training({"base_model": "x", **keys})


@pytest.mark.parametrize(
    ("rows", "keys", "wanted"),
    [
        (20, {"batch_size": 4, "epochs": 3}, 15),
        (21, {"batch_size": 4, "epochs": 3}, 18),
        (20, {"batch_size": 4, "epochs": 3, "repeats": 10}, 150),
        (20, {"batch_size": 4, "epochs": 3, "gradient_accumulation": 2}, 9),
        (20, {"batch_size": 4, "epochs": 3, "max_steps": 7}, 7),
        (20, {"batch_size": 4, "epochs": 3, "max_steps": 700}, 15),
        (20, {"batch_size": 4, "epochs": 1, "validation_split": 0.5}, 3),
        (1, {"batch_size": 16, "epochs": 1}, 1),
    ],
)
def test_steps(rows: int, keys: dict[str, Any], wanted: int) -> None:
    assert steps(config(**keys), rows) == wanted


@given(st.integers(1, 16), st.sampled_from(["sd15", "sdxl", "auto"]), st.integers(4, 128))
def test_more_of_everything_takes_more_memory(batch: int, family: str, rank: int) -> None:
    less = memory_gib(config(batch_size=batch, family=family, lora_rank=rank))
    assert less is not None
    for change in ({"batch_size": batch + 1}, {"lora_rank": rank + 1}, {"precision": "fp32"}, {"resolution": 2048}):
        more = memory_gib(config(**{"batch_size": batch, "family": family, "lora_rank": rank, **change}))
        assert more is not None
        assert more > less
    saved = memory_gib(config(batch_size=batch, family=family, lora_rank=rank, gradient_checkpointing=True))
    assert saved is not None
    assert saved < less


def test_known_sizes_are_in_range() -> None:
    # SD 1.5 at 512 trains in 6 to 10 GiB, SDXL at 1024 in 12 to 24 GiB, batch 1, as users of the common trainers report.
    small, large = memory_gib(config(family="sd15", batch_size=1)), memory_gib(config(family="sdxl", batch_size=1))
    assert small is not None
    assert large is not None
    assert 4 <= small <= 10
    assert 12 <= large <= 24


def test_offers_that_fit_come_first_and_language_models_have_none() -> None:
    found = estimate(config(family="sdxl", batch_size=1, epochs=100), 20)
    assert found.offers[0].fits
    assert all(offer.on_demand > 0 for offer in found.offers)
    text = estimate(config(family="causal_lm"), 20)
    assert (text.memory_gib, text.offers) == (None, ())
    assert text.steps == 50


def test_several_wrong_keys_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        checked_training({"base_model": "x", "output_dir": "/x", "cache_dir": "/y", "optimizer_args": {"token": "abc"}})
    assert len(raised.value.problems) == 3
    assert "abc" not in str(raised.value)
