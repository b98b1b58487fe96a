"""The small parts of the loop, one by one."""

import math
import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
import torch
from diffusers.optimization import get_scheduler
from hypothesis import given
from hypothesis import strategies as st

from lorafleet.contracts.problems import ConfigError, Interrupted, NonFiniteError, Preempted
from lorafleet.contracts.training import from_mapping
from trainer.families.base import MicroBatch
from trainer.losswatch import LossWatch
from trainer.memory import fit
from trainer.prefetch import Prefetcher
from trainer.randomness import generator, seed_of
from trainer.schedulers import SCHEDULERS, schedule
from trainer.signals import StopRequests


def config(**values: object):
    return from_mapping({"train_data_dir": "d", "base_model": "b", "output_dir": "o", **values})


def test_seeds_are_pinned_across_versions() -> None:
    assert seed_of(42, "row", 3, 1) == 8918097329877057471
    assert torch.equal(torch.rand(2, generator=generator(1, "x")), torch.rand(2, generator=generator(1, "x")))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 9))
def test_fitting_keeps_every_row_in_order(sizes: list[int], rows: int) -> None:
    start = 0
    batches = []
    for size in sizes:
        numbers = torch.arange(start, start + size)
        batches.append(MicroBatch({"n": numbers}, tuple([1] * size), tuple(str(int(n)) for n in numbers)))
        start += size
    fitting = fit(batches, rows)
    assert all(len(batch) <= rows for batch in fitting)
    assert torch.cat([batch.tensors["n"] for batch in fitting]).tolist() == list(range(start))
    assert [name for batch in fitting for name in batch.names] == [str(n) for n in range(start)]


def test_prefetching_keeps_the_order_and_hands_errors_on() -> None:
    with Prefetcher(range(20), lambda n: n * n, depth=2) as ready:
        assert list(ready) == [n * n for n in range(20)]

    def fail(number: int) -> int:
        if number == 3:
            raise ValueError("three")
        return number

    seen = []
    with pytest.raises(ValueError, match="three"), Prefetcher(range(5), fail) as ready:
        for number in ready:
            seen.append(number)
    assert seen == [0, 1, 2]


def test_prefetching_works_ahead_and_ends_with_its_block() -> None:
    made = threading.Event()

    def make(number: int) -> int:
        if number == 2:
            made.set()
        return number

    with Prefetcher(range(1000), make, depth=2) as ready:
        next(ready)
        assert made.wait(5)
    assert not any(thread.name == "prefetch" for thread in threading.enumerate())


@pytest.mark.parametrize(
    ("name", "diffusers_name", "arguments", "theirs"),
    [
        ("constant", "constant_with_warmup", {}, {}),
        ("linear", "linear", {}, {}),
        ("cosine", "cosine", {}, {}),
        ("cosine_restarts", "cosine_with_restarts", {"cycles": 2}, {"num_cycles": 2}),
    ],
)
def test_schedules_agree_with_diffusers_after_the_warm_up(name: str, diffusers_name: str, arguments: dict, theirs: dict) -> None:
    warmup, total = 5, 40
    ours = schedule(config(scheduler=name, warmup_steps=warmup, scheduler_args=arguments), total)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = get_scheduler(diffusers_name, optimizer, num_warmup_steps=warmup, num_training_steps=total, **theirs)
    for step in range(total):
        if step >= warmup:
            assert ours(step) == pytest.approx(reference.get_last_lr()[0], abs=1e-9), step
        optimizer.step()
        reference.step()


def test_every_schedule_warms_up_from_more_than_zero_and_stays_within_one() -> None:
    for name in ("constant", "linear", "cosine", "cosine_restarts", "polynomial"):
        factors = [schedule(config(scheduler=name, warmup_steps=4), 30)(step) for step in range(30)]
        assert 0 < factors[0] < factors[1] < factors[2] < factors[3] <= 1
        assert all(0 <= factor <= 1 for factor in factors)
        assert factors[4] == 1


def test_an_unknown_part_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'cosine'"):
        SCHEDULERS.get("cosin")


@pytest.fixture
def stop() -> Iterator[StopRequests]:
    with StopRequests() as requests:
        yield requests


def test_sigterm_becomes_preempted(stop: StopRequests) -> None:
    stop.check()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.01)
    with pytest.raises(Preempted) as caught:
        stop.check()
    assert caught.value.exit_code == 75


def test_ctrl_c_asks_once_and_ends_at_the_second(stop: StopRequests) -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)
    with pytest.raises(Interrupted):
        stop.check()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)


def test_the_old_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    stop = StopRequests()
    with stop, stop:
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_loss_that_is_not_finite_stops_with_the_files_of_its_micro_batch() -> None:
    watch = LossWatch()
    watch.push(0, torch.tensor([0.5, 0.5]), torch.tensor(1.0), [["a.png"], ["b.png"]])
    watch.push(1, torch.tensor([0.5, math.nan]), torch.tensor(1.0), [["c.png"], ["d.png", "e.png"]])
    assert [seen.loss for seen in watch.collect()] == [1.0]
    with pytest.raises(NonFiniteError, match=r"step 2 .*d\.png, e\.png") as caught:
        watch.collect(everything=True)
    assert "c.png" not in str(caught.value)


def test_an_infinite_gradient_stops_too() -> None:
    watch = LossWatch(delay=0)
    watch.push(4, torch.tensor([0.5]), torch.tensor(math.inf), [["a.png"]])
    with pytest.raises(NonFiniteError, match=r"the gradient of step 5 .*a\.png"):
        watch.collect()
