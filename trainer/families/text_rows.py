"""A text set in the form the model eats: rows of one example, or of several that are packed."""

from collections.abc import Hashable, Sequence

import torch

from lorafleet.datasets.findings import listed
from trainer.families.base import MicroBatch, RowRef
from trainer.families.packing import Pack
from trainer.families.token_loss import IGNORED
from trainer.families.token_table import TokenTable

# Rows of one micro-batch differ in length by less than this, so that little is computed for padding.
_LIKE_LENGTHS = 64


class TextRows:
    """See :class:`trainer.families.base.EncodedSet`.

    Padding stands at the end of a row, where causal attention lets no real token see it, so there is no attention mask at all and the
    fastest kernels can be used. ``lengths`` are the rows' tokens without padding. Packed rows carry ``position_ids`` that
    restart at 0 with each example; models find the borders by them.
    """

    def __init__(
        self,
        table: TokenTable,
        names: Sequence[str],
        packs: Sequence[Pack] | None = None,
        *,
        padding: int = 0,
        multiple_of: int = 1,
    ) -> None:
        """``names`` are the examples'. ``packs`` says which examples share a row; None gives each its own."""
        self._table = table
        self._names = tuple(names)
        self._packed = packs is not None
        self._rows: Sequence[Pack] = packs if packs is not None else [(example,) for example in range(len(table))]
        self._padding = padding
        self._multiple_of = multiple_of
        lengths, weights = table.lengths, table.weights
        self.lengths = tuple(sum(lengths[example] for example in row) for row in self._rows)
        self._weights = [sum(weights[example] for example in row) for row in self._rows]

    def __len__(self) -> int:
        return len(self._rows)

    def shape_key(self, index: int) -> Hashable:
        """See :class:`~trainer.families.base.EncodedSet`."""
        return "packed" if self._packed else -(-self.lengths[index] // _LIKE_LENGTHS) * _LIKE_LENGTHS

    def weight(self, index: int) -> int:
        """See :class:`~trainer.families.base.EncodedSet`; the number of target tokens."""
        return self._weights[index]

    def collate(self, refs: Sequence[RowRef]) -> MicroBatch:
        """``input_ids``, ``labels`` and, where rows are packed, ``position_ids``: int64, (rows, longest row)."""
        longest = -(-max(self.lengths[ref.index] for ref in refs) // self._multiple_of) * self._multiple_of
        input_ids = torch.full((len(refs), longest), self._padding, dtype=torch.int64)
        labels = torch.full((len(refs), longest), IGNORED, dtype=torch.int64)
        position_ids = torch.zeros((len(refs), longest), dtype=torch.int64)
        for number, ref in enumerate(refs):
            start = 0
            for example in self._rows[ref.index]:
                span = self._table.span(example)
                end = start + span.stop - span.start
                tokens = self._table.tokens[span].to(torch.int64)
                input_ids[number, start:end] = tokens
                labels[number, start:end] = tokens.where(self._table.targets[span], IGNORED)
                # Padding goes on counting where the last example ends, so that it is no example of its own.
                position_ids[number, start:] = torch.arange(longest - start)
                start = end
        tensors = {"input_ids": input_ids, "labels": labels} | ({"position_ids": position_ids} if self._packed else {})
        names = tuple(listed(self._names[example] for example in self._rows[ref.index]) for ref in refs)
        return MicroBatch(tensors, tuple(self._weights[ref.index] for ref in refs), names)
