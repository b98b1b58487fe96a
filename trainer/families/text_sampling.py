"""Sample texts while training."""

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

from trainer.families.base import Control, Placement
from trainer.families.text_base import TextBase
from trainer.placement import autocast


class _StopWhenTold(StoppingCriteria):  # type: ignore[misc]
    """Lets SIGTERM end a generation between two tokens."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def __call__(self, input_ids: Tensor, scores: Tensor, **_: Any) -> Tensor:
        self._control.check()
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


@torch.no_grad()
def sample_texts(
    base: TextBase,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    stop_ids: Collection[int],
    max_tokens: int,
    placement: Placement,
    control: Control,
) -> list[str]:
    """What the model goes on with after each prompt, greedily, one prompt at a time so that padding changes nothing."""
    model = base.model
    ends = sorted(stop_ids)
    settings = GenerationConfig(max_new_tokens=max_tokens, do_sample=False, eos_token_id=ends, pad_token_id=ends[0], use_cache=True)
    training = model.training
    model.eval()
    texts = []
    try:
        # Growing caches would make torch.compile compile for each token.
        with torch.compiler.set_stance("force_eager"), autocast(placement):
            for number, prompt in enumerate(prompts):
                control.progress("sampling", number, len(prompts))
                ids = torch.tensor([list(prompt)], device=placement.device)
                written = model.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    generation_config=settings,
                    stopping_criteria=StoppingCriteriaList([_StopWhenTold(control)]),
                )
                texts.append(tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True))
    finally:
        model.train(training)
    control.progress("sampling", len(prompts), len(prompts))
    return texts
