from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.plan import TrainingPlan, validation_refs

plans = st.builds(
    TrainingPlan,
    keys=st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=40).map(tuple),
    seed=st.integers(0, 2**62),
    batch=st.integers(1, 7),
    accumulation=st.integers(1, 3),
    repeats=st.integers(1, 3),
)


@given(plans, st.integers(0, 3))
def test_every_example_is_seen_exactly_repeats_times_in_each_epoch(plan: TrainingPlan, epoch: int) -> None:
    first = epoch * plan.steps_per_epoch
    rows = [ref.index for step in range(first, first + plan.steps_per_epoch) for ref in plan.step(step).rows]
    assert Counter(rows) == dict.fromkeys(range(len(plan.keys)), plan.repeats)


@given(plans)
def test_a_micro_batch_holds_one_shape_and_no_more_than_batch_rows(plan: TrainingPlan) -> None:
    for step in range(plan.steps_per_epoch):
        micro_batches = plan.step(step).micro_batches
        assert 1 <= len(micro_batches) <= plan.accumulation
        for refs in micro_batches:
            assert 1 <= len(refs) <= plan.batch
            assert len({plan.keys[ref.index] for ref in refs}) == 1


@given(plans, st.integers(0, 20))
def test_a_step_does_not_depend_on_the_steps_asked_before(plan: TrainingPlan, step: int) -> None:
    fresh = TrainingPlan(plan.keys, plan.seed, plan.batch, plan.accumulation, plan.repeats)
    for earlier in range(step):
        fresh.step(earlier)
    assert fresh.step(step) == plan.step(step)


@given(plans, st.integers(1, 4))
def test_ranks_share_a_step_without_overlap(plan: TrainingPlan, world: int) -> None:
    step = plan.step(0)
    rows = [ref for rank in range(world) for refs in step.of_rank(rank, world) for ref in refs]
    assert sorted(rows, key=str) == sorted(step.rows, key=str)


@given(plans)
def test_rows_have_seeds_of_their_own(plan: TrainingPlan) -> None:
    seeds = [ref.seed for step in range(2 * plan.steps_per_epoch) for ref in plan.step(step).rows]
    assert len(set(seeds)) == len(seeds)


def test_the_order_is_pinned_across_versions() -> None:
    plan = TrainingPlan(("a",) * 6, seed=42, batch=2)
    assert [[ref.index for ref in plan.step(step).rows] for step in range(6)] == [[3, 1], [5, 0], [2, 4], [4, 1], [0, 5], [3, 2]]


def test_epochs_have_different_orders() -> None:
    plan = TrainingPlan(("a",) * 32, seed=1, batch=32)
    assert plan.step(0).rows != plan.step(1).rows


@pytest.mark.parametrize("batch", [1, 3, 5])
def test_validation_covers_everything_in_every_pass_with_fixed_seeds(batch: int) -> None:
    keys = ["a", "b", "a", "b", "b"]
    batches = validation_refs(5, 7, batch, keys, passes=2)
    assert Counter(ref.index for refs in batches for ref in refs) == dict.fromkeys(range(5), 2)
    assert all(len({keys[ref.index] for ref in refs}) == 1 and len(refs) <= batch for refs in batches)
    seeds = {(ref.index, ref.seed) for refs in batches for ref in refs}
    assert seeds == {(ref.index, ref.seed) for refs in validation_refs(5, 7, 2, keys, passes=2) for ref in refs}
