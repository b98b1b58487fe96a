"""Threads that nobody waits for."""

from threading import Event

import pytest

from lorafleet.image.daemons import Daemons


def test_results_and_errors_come_as_from_any_pool() -> None:
    with Daemons(2) as pool:
        assert list(pool.map(pow, (2, 3, 4), (2, 2, 2))) == [4, 9, 16]
        failed = pool.submit(int, "no number")
    assert isinstance(failed.exception(), ValueError)


def test_what_is_not_broken_off_is_done_to_its_end() -> None:
    done: list[int] = []
    with Daemons(1) as pool:
        for number in range(5):
            pool.submit(done.append, number)
    assert done == [0, 1, 2, 3, 4]


def test_after_an_error_nobody_waits() -> None:
    begun, stuck = Event(), Event()

    def hang() -> None:
        begun.set()
        stuck.wait(30)

    with pytest.raises(KeyboardInterrupt), Daemons(1) as pool:
        hanging, queued = pool.submit(hang), pool.submit(hang)
        begun.wait(5)
        raise KeyboardInterrupt
    assert not hanging.done()
    assert queued.cancelled()
    with pytest.raises(RuntimeError, match="take no more"):
        pool.submit(hang)
    stuck.set()
