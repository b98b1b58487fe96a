import threading

import torch

from trainer.prefetch import Prefetcher
from trainer.side_threads import compute_alone, settle_training_thread


def test_only_the_side_thread_computes_alone() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        settle_training_thread()
        seen: list[int] = []

        def work() -> None:
            compute_alone()
            seen.append(torch.get_num_threads())

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert seen == [1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_batches_are_made_on_a_thread_that_computes_alone() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        settle_training_thread()
        with Prefetcher(range(3), lambda _: torch.get_num_threads(), first=compute_alone) as counts:
            assert list(counts) == [1, 1, 1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
