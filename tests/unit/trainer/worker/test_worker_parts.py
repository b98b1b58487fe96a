"""The small pure parts: back-off, log, pulse, GPUs, drain, state file, settings."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorafleet.contracts.jobs import LOG_BYTES, LOG_TAIL, LogLines, Phase
from lorafleet.contracts.problems import ConfigError
from trainer.worker import state_file
from trainer.worker.backoff import Backoff
from trainer.worker.channel import INSTRUCTIONS, Assign
from trainer.worker.drain import Drain
from trainer.worker.gpus import parse
from trainer.worker.outbox import Log
from trainer.worker.pulse import Pulse, WatchedStop
from trainer.worker.settings import WorkerSettings
from trainer.worker.state_file import State


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@settings(deadline=None)
@given(st.integers(0, 200), st.integers())
def test_waits_grow_to_a_bound_and_begin_anew_after_a_success(failures: int, seed: int) -> None:
    backoff = Backoff(1.0, 20.0, random.Random(seed))
    waits = [backoff.wait() for _ in range(failures)]
    assert all(min(20.0, 2.0**number) / 2 <= wait <= min(20.0, 2.0**number) for number, wait in enumerate(waits))
    backoff.reset()
    assert backoff.wait() <= 1.0


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=1500), max_size=300), st.integers(1, 10))
def test_every_line_is_sent_once_in_messages_that_fit(lines: list[str], failures: int) -> None:
    log, sent = Log(), list[str]()
    for line in lines:
        log.add(line)
    while True:
        first, chosen = log.peek()
        if not chosen:
            break
        assert first == len(sent)
        assert sum(len(line.encode()) for line in chosen) <= LOG_BYTES
        LogLines(job="job-1", fence=1, first=first, lines=chosen)
        if failures:
            # Not delivered: the same lines come again.
            failures -= 1
            continue
        sent += chosen
        log.sent(first, len(chosen))
    assert sent == [line[:1000] for line in lines]
    assert len(log.tail) <= LOG_TAIL


def test_a_log_that_is_not_read_keeps_the_newest_lines_and_their_numbers() -> None:
    log = Log()
    for number in range(6000):
        log.add(str(number))
    first, chosen = log.peek()
    assert (first, chosen[0]) == (1000, "1000")
    for number in range(6000, 6010):
        log.add(str(number))
    # The answer for lines that were dropped meanwhile arrives late.
    log.sent(first, len(chosen))
    assert log.peek()[0] == first + len(chosen)
    assert log.peek()[1][0] == str(first + len(chosen))


def test_credentials_do_not_get_into_the_log() -> None:
    log = Log()
    log.add("fetching https://store.example/x?X-Amz-Signature=abc")
    assert "abc" not in log.tail
    assert "left out" in log.tail


def test_silence_is_measured_only_while_the_loop_should_move() -> None:
    clock = Clock()
    pulse = Pulse(clock)
    stop = WatchedStop(pulse)
    clock.now += 1000
    assert pulse.silence == 0
    pulse.watch()
    clock.now += 30
    assert pulse.silence == 30
    stop.check()
    assert pulse.silence == 0
    pulse.beat(Phase.TRAINING, 7)
    clock.now += 5
    assert (pulse.silence, pulse.now) == (5, (Phase.TRAINING, 7))
    pulse.rest(Phase.SAVING)
    clock.now += 1000
    assert (pulse.silence, pulse.now) == (0, (Phase.SAVING, 7))


def test_the_grace_is_shared_between_saving_and_the_last_words() -> None:
    clock = Clock()
    drain = Drain(10.0, clock)
    clock.now += 1000
    assert (drain.wanted, drain.may_save, drain.may_speak) == (False, True, True)
    drain.request()
    clock.now += 7.9
    assert (drain.wanted, drain.may_save, drain.may_speak) == (True, True, True)
    clock.now += 1
    assert (drain.may_save, drain.may_speak) == (False, True)
    clock.now += 2
    assert not drain.may_speak
    hurried = Drain(10.0, clock)
    hurried.request()
    hurried.request()
    assert (hurried.may_save, hurried.may_speak) == (False, False)


@pytest.mark.parametrize(
    ("listing", "expected"),
    [
        ("NVIDIA L4, 23034\n", [("NVIDIA L4", 23034)]),
        ("A, with comma, 100\nNVIDIA H100 80GB HBM3, 81559\n", [("A, with comma", 100), ("NVIDIA H100 80GB HBM3", 81559)]),
        ("NVIDIA GB10, [N/A]\n", []),
        ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", []),
        ("", []),
    ],
)
def test_gpus_as_the_driver_lists_them(listing: str, expected: list[tuple[str, int]]) -> None:
    assert [(slot.name, slot.memory_mib) for slot in parse(listing)] == expected


def test_probes_believe_only_a_fresh_file(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert not state_file.is_live(path)
    for state in State:
        state_file.write(path, state)
        assert state_file.is_live(path)
        assert state_file.is_ready(path) == (state in (State.IDLE, State.TRAINING))
    assert list(tmp_path.iterdir()) == [path]
    path.write_text(json.dumps({"pid": os.getpid(), "state": "idle", "at": time.time() - 3600}))
    assert not state_file.is_live(path)
    path.write_text("{")
    assert not state_file.is_live(path)


def test_the_supervisor_needs_no_torch() -> None:
    code = "import sys, trainer.worker.supervisor; sys.exit('torch' in sys.modules or 'lorafleet.console' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_token_in_what_is_printed_of_an_instruction() -> None:
    task = Assign(console="https://c", token="s3cr3t", job="j", fence=1, heartbeat_seconds=1, stall_seconds=9)
    assert "s3cr3t" not in repr(task)
    assert INSTRUCTIONS.validate_json(task.model_dump_json()) == task
    assert json.loads(task.model_dump_json())["token"] == "s3cr3t"


def test_settings_name_everything_that_is_wrong_at_once(tmp_path: Path) -> None:
    wrong: dict[str, Any] = {
        "console": "http://console.example", "site": "Site", "worker": "w", "release": "latest", "device": "tpu",
        "credential_file": tmp_path / "none", "work": tmp_path, "models": tmp_path / "none",
    }  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        WorkerSettings(**wrong).check()
    text = str(caught.value)
    assert all(word in text for word in ("plain http", "--site", "--release", "--device", "--models"))
    right = {
        **wrong,
        "console": "http://127.0.0.1:1/",
        "site": "s",
        "release": f"sha256:{'a' * 64}",
        "device": "cuda:1",
        "models": None,
    }
    settings = WorkerSettings(**right).check()
    with pytest.raises(ConfigError, match="credential cannot be read"):
        settings.credential()
    settings.credential_file.write_text(" \n")
    with pytest.raises(ConfigError, match="is empty"):
        settings.credential()
