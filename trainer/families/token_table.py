"""Examples as tokens, in flat arrays that are kept on disk."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lorafleet.datasets.texts import TextSample
from trainer.families.base import Control
from trainer.families.encodings import EncodingCache, key_of
from trainer.families.text_encoding import EncodedText, TextEncoder

# Changes whenever the same text would give other tokens or targets, so that older caches are not used.
_VERSION = 1
_BATCH = 256


@dataclass(frozen=True)
class TokenTable:
    """All examples one after the other.

    ``tokens`` (int32) and ``targets`` (bool: the token is learned) are (total,); ``ends`` (examples,) says where each example ends;
    ``sources`` (examples,) which text it came from: texts without a target are left out. ``cut`` counts the examples that were too long.
    """

    tokens: Tensor
    targets: Tensor
    ends: Tensor
    sources: Tensor
    cut: int

    def __len__(self) -> int:
        return len(self.ends)

    def span(self, example: int) -> slice:
        """Where an example's tokens stand."""
        return slice(int(self.ends[example - 1]) if example else 0, int(self.ends[example]))

    @property
    def lengths(self) -> list[int]:
        """Tokens of each example."""
        lengths: list[int] = torch.diff(self.ends, prepend=self.ends.new_zeros(1)).tolist()
        return lengths

    @property
    def weights(self) -> list[int]:
        """Target tokens of each example."""
        sums = torch.cat([self.ends.new_zeros(1), self.targets.long().cumsum(0)])
        return torch.diff(sums[torch.cat([self.ends.new_zeros(1), self.ends])]).tolist()


def content_key(sample: TextSample) -> str:
    """The hash of what a sample says, whatever file and line it came from."""
    turns = [part for message in sample.messages for part in (message.role, message.content)]
    return key_of(sample.kind, sample.text, sample.prompt, sample.completion, *turns)


def token_table(samples: Sequence[TextSample], encoder: TextEncoder, cache: EncodingCache, control: Control) -> TokenTable:
    """Tokenize all samples, or take the result from the cache, which is keyed by texts, tokenizer, template and settings.

    Raises:
        ConfigError, DataError: see :meth:`TextEncoder.encode`.
    """
    key = key_of("tokens", _VERSION, encoder.digest, *map(content_key, samples))
    cached = cache.get(key)
    if cached is not None:
        return TokenTable(cached["tokens"], cached["targets"], cached["ends"], cached["sources"], int(cached["cut"]))
    encoded: list[EncodedText] = []
    for start in range(0, len(samples), _BATCH):
        control.check()
        encoded += encoder.encode(samples[start : start + _BATCH])
        control.progress("tokenizing", len(encoded), len(samples))
    kept = [(number, text) for number, text in enumerate(encoded) if any(text.targets)]
    table = TokenTable(
        tokens=torch.tensor([token for _, text in kept for token in text.ids], dtype=torch.int32),
        targets=torch.tensor([target for _, text in kept for target in text.targets], dtype=torch.bool),
        ends=torch.tensor([len(text.ids) for _, text in kept], dtype=torch.int64).cumsum(0),
        sources=torch.tensor([number for number, _ in kept], dtype=torch.int64),
        cut=sum(text.cut for text in encoded),
    )
    cache.put(key, {**vars(table), "cut": torch.tensor(table.cut)})
    return table
