"""Packed examples are kept apart in each architecture, and the proof sees it where they are not."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from trainer.families.packing_proof import find_contamination

VOCABULARY = 64
ARCHITECTURES = {
    "llama": {},
    "qwen2": {},
    "qwen3": {"head_dim": 8},
    "mistral": {"sliding_window": 8},
    "gemma": {"head_dim": 8},
    "gemma2": {"head_dim": 8, "sliding_window": 8, "query_pre_attn_scalar": 8},
    "gemma3_text": {"head_dim": 8, "sliding_window": 8, "query_pre_attn_scalar": 8},
    "gpt_neox": {},
}


def tiny(kind: str, **more: Any) -> Any:
    torch.manual_seed(0)
    config = CONFIG_MAPPING[kind](
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        pad_token_id=0,
        **{**ARCHITECTURES.get(kind, {}), **more},
    )
    return AutoModelForCausalLM.from_config(config).eval()


@pytest.mark.parametrize("kind", sorted(ARCHITECTURES))
def test_positions_that_restart_keep_examples_apart(kind: str) -> None:
    model = tiny(kind)

    def logits(ids: Tensor, positions: Tensor) -> Tensor:
        return model(input_ids=ids, position_ids=positions, use_cache=False).logits  # type: ignore[no-any-return]

    assert find_contamination(logits, VOCABULARY, torch.device("cpu"), 1e-4) is None


@pytest.mark.parametrize("kind", sorted(ARCHITECTURES))
def test_packing_without_positions_is_caught(kind: str) -> None:
    model = tiny(kind)

    def logits(ids: Tensor, positions: Tensor) -> Tensor:
        return model(input_ids=ids, use_cache=False).logits  # type: ignore[no-any-return]

    reason = find_contamination(logits, VOCABULARY, torch.device("cpu"), 1e-4)
    assert reason is not None
    assert "changes the second" in reason


def test_a_padding_mask_beside_the_positions_is_caught() -> None:
    # transformers looks for packed rows only where there is no attention mask: the trap that data collators fall into.
    model = tiny("llama")

    def logits(ids: Tensor, positions: Tensor) -> Tensor:
        mask = torch.ones_like(ids)
        return model(input_ids=ids, position_ids=positions, attention_mask=mask, use_cache=False).logits  # type: ignore[no-any-return]

    assert find_contamination(logits, VOCABULARY, torch.device("cpu"), 1e-4) is not None


def test_positions_that_do_not_restart_are_caught() -> None:
    # A block-diagonal mask alone keeps examples apart, but GPT-2 like models give the second one other positions.
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(
        CONFIG_MAPPING["gpt2"](vocab_size=VOCABULARY, n_embd=32, n_layer=1, n_head=4, n_positions=64), attn_implementation="sdpa"
    ).eval()
    with torch.no_grad():
        model.transformer.wpe.weight.mul_(20)

    def logits(ids: Tensor, positions: Tensor) -> Tensor:
        example = (positions == 0).cumsum(1)
        length = ids.shape[1]
        apart = (example[:, None, :, None] == example[:, None, None, :]) & torch.ones(length, length, dtype=torch.bool).tril()
        counted = torch.arange(length)[None]
        return model(input_ids=ids, attention_mask=apart, position_ids=counted, use_cache=False).logits  # type: ignore[no-any-return]

    reason = find_contamination(logits, VOCABULARY, torch.device("cpu"), 1e-4)
    assert reason is not None
    assert "loss" in reason


def test_logits_that_are_not_numbers_prove_nothing() -> None:
    def logits(ids: Tensor, positions: Tensor) -> Tensor:
        return torch.full((1, ids.shape[1], VOCABULARY), float("nan"))

    assert find_contamination(logits, VOCABULARY, torch.device("cpu"), 1e-4) is not None
