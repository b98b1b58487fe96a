import threading
import time
from collections.abc import Callable

import pytest

from trainer.storage.crew import run_all


def test_every_job_is_done_once_and_no_more_than_hands_at_once() -> None:
    busy, most, lock = 0, 0, threading.Lock()

    def work(job: int, go_on: Callable[[], None]) -> int:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        time.sleep(0.01)
        with lock:
            busy -= 1
        return job * job

    assert sorted(run_all(range(20), work, lambda: None, hands=3)) == [job * job for job in range(20)]
    assert most == 3
    assert list(run_all([], work, lambda: None, hands=3)) == []


def test_what_a_job_raises_ends_the_others() -> None:
    ended = threading.Event()

    def work(job: int, go_on: Callable[[], None]) -> int:
        if job == 0:
            raise OSError("broken")
        try:
            while True:
                go_on()
                time.sleep(0.01)
        finally:
            ended.set()

    with pytest.raises(OSError, match="broken"):
        list(run_all([1, 0, 2], work, lambda: None, hands=2))
    assert ended.wait(2)


def test_a_watch_that_raises_does_not_wait_for_a_job_that_hangs() -> None:
    hang, started = threading.Event(), time.monotonic()

    def watch() -> None:
        if time.monotonic() - started > 0.3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        list(run_all([1], lambda job, go_on: hang.wait(30), watch, hands=1))
    assert time.monotonic() - started < 5
    hang.set()
