"""Which rows make up which step: a pure function of the seed, the epoch and the shapes of the examples."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from trainer.families.base import RowRef
from trainer.randomness import seed_of

MicroBatchRefs = tuple[RowRef, ...]


@dataclass(frozen=True)
class StepPlan:
    """One optimizer step: the micro-batches of all ranks. ``step`` counts from 0, ``epoch`` from 0."""

    step: int
    epoch: int
    micro_batches: tuple[MicroBatchRefs, ...]

    def of_rank(self, rank: int, world: int) -> tuple[MicroBatchRefs, ...]:
        """The part of one rank: every ``world``-th row, so that a short batch is still spread evenly."""
        return tuple(refs[rank::world] for refs in self.micro_batches)

    @property
    def rows(self) -> tuple[RowRef, ...]:
        """All rows of the step."""
        return tuple(ref for refs in self.micro_batches for ref in refs)


@dataclass(frozen=True)
class TrainingPlan:
    """The whole run.

    ``keys[i]`` is the shape key of example i; only equal keys share a micro-batch. ``batch`` counts the rows of one micro-batch over
    all ranks. No example is dropped: a bucket's last micro-batch is short instead.
    """

    keys: tuple[Hashable, ...]
    seed: int
    batch: int
    accumulation: int = 1
    repeats: int = 1
    _cached_epoch: dict[int, tuple[MicroBatchRefs, ...]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def steps_per_epoch(self) -> int:
        """The same for every epoch."""
        return -(-_chunk_count(self.keys, self.batch, self.repeats) // self.accumulation)

    def step(self, step: int) -> StepPlan:
        """The plan of global step ``step``."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch not in self._cached_epoch:
            self._cached_epoch.clear()
            self._cached_epoch[epoch] = self._chunks(epoch)
        chunks = self._cached_epoch[epoch][position * self.accumulation : (position + 1) * self.accumulation]
        return StepPlan(step, epoch, chunks)

    def _chunks(self, epoch: int) -> tuple[MicroBatchRefs, ...]:
        # A row's seed depends on the epoch and the example alone: batch size, accumulation and ranks do not change its noise.
        rows: dict[Hashable, list[tuple[int, RowRef]]] = defaultdict(list)
        for index, key in enumerate(self.keys):
            for repeat in range(self.repeats):
                ref = RowRef(index, seed_of(self.seed, "row", epoch, index, repeat))
                rows[key].append((seed_of(self.seed, "order", epoch, index, repeat), ref))
        chunks = []
        for members in rows.values():
            members.sort(key=lambda member: member[0])
            refs = [ref for _, ref in members]
            chunks += [tuple(refs[start : start + self.batch]) for start in range(0, len(refs), self.batch)]
        chunks.sort(key=lambda chunk: seed_of(self.seed, "chunk", epoch, *(ref.seed for ref in chunk)))
        return tuple(chunks)


@lru_cache(maxsize=8)
def _chunk_count(keys: tuple[Hashable, ...], batch: int, repeats: int) -> int:
    sizes: dict[Hashable, int] = defaultdict(int)
    for key in keys:
        sizes[key] += repeats
    return sum(-(-size // batch) for size in sizes.values())


def validation_refs(count: int, seed: int, batch: int, keys: Sequence[Hashable], passes: int = 1) -> list[MicroBatchRefs]:
    """Micro-batches over a validation set with seeds that never change, so that two validation losses can be compared."""
    rows = sorted(
        ((str(keys[index]), index, repeat) for index in range(count) for repeat in range(passes)),
        key=lambda row: (row[0], row[2], row[1]),
    )
    batches: list[MicroBatchRefs] = []
    current: list[RowRef] = []
    current_key = ""
    for key, index, repeat in rows:
        if current and (key != current_key or len(current) == batch):
            batches.append(tuple(current))
            current = []
        current_key = key
        current.append(RowRef(index, seed_of(seed, "validation", index, repeat)))
    if current:
        batches.append(tuple(current))
    return batches
