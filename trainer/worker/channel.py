"""What supervisor and training process say to each other: a JSON object a line, over pipes that nobody else holds."""

import os
import threading
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from lorafleet.contracts.jobs import Order, Phase, Secret
from lorafleet.contracts.problems import Problem

LOG_ENDS = "\x1e the log ends here"
"""The training process's last line on stdout. Its events go another way, and its end must not overtake what it wrote."""


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Ready(_Line):
    """Process → supervisor: everything is imported and the device works."""

    kind: Literal["ready"] = "ready"
    device: str


class Alive(_Line):
    """Process → supervisor: the loop moves; sent with every heartbeat that was due."""

    kind: Literal["alive"] = "alive"
    phase: Phase
    step: int


class Stalled(_Line):
    """Process → supervisor: no sign of life from the loop for too long. Heartbeats have ended."""

    kind: Literal["stalled"] = "stalled"
    seconds: float


class Ordered(_Line):
    """Process → supervisor: the console gave an order with a heartbeat's reply."""

    kind: Literal["ordered"] = "ordered"
    order: Order


class FenceLost(_Line):
    """Process → supervisor: the console refused a heartbeat for good."""

    kind: Literal["fence_lost"] = "fence_lost"
    reason: str


class Stepped(_Line):
    """Process → supervisor: how far the training is. ``metrics`` is empty where the step was not logged."""

    kind: Literal["stepped"] = "stepped"
    step: int
    total: int
    seconds_left: float | None = None
    metrics: dict[str, float] = Field(default_factory=dict)


class SampleFile(_Line):
    """A sample on the local disk."""

    path: str
    prompt: str


class Sampled(_Line):
    """Process → supervisor: samples were drawn."""

    kind: Literal["sampled"] = "sampled"
    step: int
    files: tuple[SampleFile, ...]


class Saved(_Line):
    """Process → supervisor: a whole checkpoint lies in ``path``."""

    kind: Literal["saved"] = "saved"
    step: int
    path: str
    format_version: int


class Ended(_Line):
    """Process → supervisor: the run is over. The process goes on sending heartbeats until it is told to exit."""

    kind: Literal["ended"] = "ended"
    exit_code: int
    step: int
    problems: tuple[Problem, ...] = ()
    files: tuple[str, ...] = ()


Event = Annotated[Ready | Alive | Stalled | Ordered | FenceLost | Stepped | Sampled | Saved | Ended, Field(discriminator="kind")]


class Assign(_Line):
    """Supervisor → process: whose heartbeats to send from now on."""

    kind: Literal["assign"] = "assign"
    console: str
    token: Secret
    job: str
    fence: int
    heartbeat_seconds: float
    stall_seconds: float


class Train(_Line):
    """Supervisor → process: everything is there, train. ``config`` is a whole training configuration.

    ``environment`` has the secrets of the job's team. ``ranks``: as how many processes, each on a GPU of its own.
    """

    kind: Literal["train"] = "train"
    config: dict[str, Any]
    environment: dict[str, Secret] = Field(default_factory=dict)
    ranks: int = Field(default=1, ge=1)


class Command(_Line):
    """Supervisor → process: an order that did not come from the console."""

    kind: Literal["command"] = "command"
    order: Order


class Exit(_Line):
    """Supervisor → process: the outcome is delivered."""

    kind: Literal["exit"] = "exit"


Instruction = Annotated[Assign | Train | Command | Exit, Field(discriminator="kind")]

EVENTS: TypeAdapter[Event] = TypeAdapter(Event)
INSTRUCTIONS: TypeAdapter[Instruction] = TypeAdapter(Instruction)


class LineWriter:
    """Writes lines to a pipe. Threads may share it; a reader that is gone is no error, its end is noticed elsewhere."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def write(self, line: BaseModel) -> bool:
        """Write a line; False where the reader is gone."""
        data = line.model_dump_json().encode() + b"\n"
        with self._lock:
            try:
                while data:
                    data = data[os.write(self._descriptor, data) :]
            except OSError:
                return False
        return True
