"""Parts of the API by themselves: limits, waking, group commit, forms, login tokens."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from functools import partial

import anyio.to_thread
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from lorafleet.console.api.form_stream import FormStream
from lorafleet.console.api.logins import LoginTokens
from lorafleet.console.api.multipart import PartBegins, parts
from lorafleet.console.api.rate_limits import RateLimits
from lorafleet.console.domain.refusals import Fenced
from lorafleet.console.group_commit import GroupCommit
from lorafleet.console.wakeups import Wakeup


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 5)), max_size=60), st.integers(1, 5), st.floats(0.1, 10))
def test_no_caller_gets_more_than_burst_and_rate(calls: list[tuple[str, float]], burst: int, rate: float) -> None:
    now = 0.0
    limits = RateLimits(rate, burst, lambda: now)
    taken: dict[str, list[float]] = {"a": [], "b": []}
    for caller, pause in calls:
        now += pause
        wait = limits.take(caller)
        assert wait >= 0
        if wait == 0:
            taken[caller].append(now)
            for start in taken[caller]:
                within = [at for at in taken[caller] if start <= at <= now]
                assert len(within) <= burst + rate * (now - start) + 1e-6


def test_a_caller_who_waits_as_told_may_go_on() -> None:
    now = 0.0
    limits = RateLimits(2.0, 1, lambda: now)
    assert limits.take("a") == 0
    wait = limits.take("a")
    now += wait + 1e-9
    assert limits.take("a") == 0


def test_a_login_token_is_good_once_and_for_a_day() -> None:
    now = 0.0
    logins = LoginTokens(lambda: now)
    first, second = logins.make(), logins.make()
    assert logins.redeem(first)
    assert not logins.redeem(first)
    assert not logins.redeem("another")
    now += 24 * 3600
    assert not logins.redeem(second)


def test_a_ring_between_look_and_wait_is_not_missed() -> None:
    async def run() -> None:
        wakeup = Wakeup()
        wakeup.start()
        ticket = wakeup.ticket()
        threading.Thread(target=wakeup.ring).start()
        await asyncio.sleep(0.05)
        await asyncio.wait_for(wakeup.wait(ticket, 60), 5)
        # The next one waits for the next ring.
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wakeup.wait(wakeup.ticket(), 60), 0.05)
        wakeup.close()
        await asyncio.wait_for(wakeup.wait(wakeup.ticket(), 60), 5)

    asyncio.run(run())


def test_a_group_is_committed_together_and_each_gets_its_own_answer() -> None:
    groups: list[Sequence[int]] = []
    gate = threading.Event()

    def commit(items: Sequence[int]) -> Sequence[int | Exception]:
        groups.append(items)
        gate.wait(5)
        if 99 in items:
            raise RuntimeError("the database is gone")
        return [Fenced("stale") if item % 2 else item * 10 for item in items]

    async def run() -> None:
        group = GroupCommit(commit, most=4)
        calls = [asyncio.create_task(group(item)) for item in range(6)]
        await asyncio.sleep(0.05)
        gate.set()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert [answer for answer in answers if isinstance(answer, int)] == [0, 20, 40]
        assert sum(isinstance(answer, Fenced) for answer in answers) == 3
        with pytest.raises(RuntimeError):
            await group(99)
        assert await group(2) == 20

    asyncio.run(run())
    assert max(len(group) for group in groups) <= 4
    assert len(groups) < 8


def test_one_who_gives_up_does_not_disturb_the_others() -> None:
    gate = threading.Event()

    def commit(items: Sequence[int]) -> Sequence[int | Exception]:
        gate.wait(5)
        return list(items)

    async def run() -> None:
        group = GroupCommit(commit)
        first = asyncio.create_task(group(1))
        second = asyncio.create_task(group(2))
        await asyncio.sleep(0.05)
        first.cancel()
        gate.set()
        assert await second == 2

    asyncio.run(run())


def request(content_type: str, chunks: Sequence[bytes]) -> Request:
    left = [*chunks]

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": left.pop(0) if left else b"", "more_body": bool(left)}

    return Request({"type": "http", "method": "POST", "headers": [(b"content-type", content_type.encode())]}, receive)  # type: ignore[arg-type]


NAMES = st.text(st.characters(categories=["L", "N", "P", "S"], exclude_characters='"\\\r\n'), min_size=1, max_size=20)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(NAMES, st.binary(max_size=500)), max_size=4), st.integers(1, 300))
def test_a_form_is_read_however_it_is_cut(files: list[tuple[str, bytes]], size: int) -> None:
    whole = b"".join(
        b'--edge\r\nContent-Disposition: form-data; name="files"; filename="' + name.encode() + b'"\r\n\r\n' + data + b"\r\n"
        for name, data in files
        if b"--edge" not in data
    )
    body = whole + b"--edge--\r\n"
    chunks = [body[start : start + size] for start in range(0, len(body), size)]

    def read(events: AsyncIterator[PartBegins | bytes]) -> list[tuple[str, bytes]]:
        return [(name, content.read()) for name, content in FormStream(events).files()]

    async def run() -> list[tuple[str, bytes]]:
        return await anyio.to_thread.run_sync(partial(read, parts(request("multipart/form-data; boundary=edge", chunks))))

    assert anyio.run(run) == [(name, data) for name, data in files if b"--edge" not in data]


def test_what_is_not_read_of_a_file_is_passed_over() -> None:
    body = b"".join(
        b'--e\r\nContent-Disposition: form-data; name="f"; filename="%d"\r\n\r\n%s\r\n' % (number, b"x" * 300_000)
        for number in range(3)
    )
    plain = b'--e\r\nContent-Disposition: form-data; name="note"\r\n\r\nno file\r\n'

    def read(events: AsyncIterator[PartBegins | bytes]) -> list[tuple[str, bytes]]:
        return [(name, content.read(5)) for name, content in FormStream(events).files()]

    async def run() -> list[tuple[str, bytes]]:
        made = request("multipart/form-data; boundary=e", [plain + body + b"--e--\r\n"])
        return await anyio.to_thread.run_sync(partial(read, parts(made)))

    assert anyio.run(run) == [("0", b"xxxxx"), ("1", b"xxxxx"), ("2", b"xxxxx")]
