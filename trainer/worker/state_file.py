"""A small file that says how the worker is, and the probes that read it."""

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from lorafleet.whole_files import write_whole

NAME = "state.json"

# The main loop writes every second or so; the longest thing it does in between is one message with its time-outs.
_FRESH_SECONDS = 120.0


class State(StrEnum):
    """What the worker is doing. ``waiting``: for the console or the training process."""

    WAITING = "waiting"
    IDLE = "idle"
    TRAINING = "training"
    DRAINING = "draining"


@dataclass(frozen=True)
class Snapshot:
    """The file's content. ``at`` is in seconds since 1970."""

    pid: int
    state: State
    at: float


def write(path: Path, state: State) -> None:
    """Replace the file as a whole. A full disk is no reason to end a training: the probes will notice by the time in it."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(asdict(Snapshot(os.getpid(), state, time.time()))), durable=False)


def is_live(path: Path) -> bool:
    """Whether a worker keeps the file fresh."""
    return _read(path) is not None


def is_ready(path: Path) -> bool:
    """Whether a worker could take a job or has one."""
    snapshot = _read(path)
    return snapshot is not None and snapshot.state in (State.IDLE, State.TRAINING)


def _read(path: Path) -> Snapshot | None:
    try:
        values = json.loads(path.read_text(encoding="ascii"))
        snapshot = Snapshot(int(values["pid"]), State(values["state"]), float(values["at"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return snapshot if abs(time.time() - snapshot.at) < _FRESH_SECONDS else None
