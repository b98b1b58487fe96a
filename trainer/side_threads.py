"""Threads that work beside the training one."""

import torch


def compute_alone() -> None:
    """Keep what the calling thread computes with torch on that thread; call it first in every thread but the training one.

    GNU OpenMP gives each thread that computes a team of helpers of its own. With more helpers than cores it no longer lets any of
    them wait awake, the training thread's included: copying a batch or a checkpoint on another thread made every step of the tiny
    UNet on a CPU take up to twice as long (docs/benchmarks.md).
    """
    torch.set_num_threads(1)


def settle_training_thread() -> None:
    """Fix the calling thread's number of helpers, so that :func:`compute_alone` elsewhere cannot change it.

    torch decides it for each thread at its first use, from a value that all threads share.
    """
    torch.get_num_threads()
