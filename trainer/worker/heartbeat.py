"""Heartbeats from the training process to the console, and the orders that come back."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime

from lorafleet.contracts import paths
from lorafleet.contracts.jobs import Heartbeat, HeartbeatReply, Order
from lorafleet.contracts.problems import LorafleetError
from trainer.worker.channel import Alive, Assign, FenceLost, LineWriter, Ordered, Stalled
from trainer.worker.pulse import Pulse
from trainer.worker.wire import Console, Fenced, TokenRefused


class Heart:
    """Sends heartbeats on a thread of its own while the loop moves; ``obey`` gets every order that differs from the one before.

    A console that cannot be reached changes nothing: training goes on, and the fence protects the job. When the loop stands still,
    the heartbeats end, so that the lease runs out although this thread could go on.
    """

    def __init__(self, task: Assign, pulse: Pulse, supervisor: LineWriter, obey: Callable[[Order], None]) -> None:
        self._task = task
        self._pulse = pulse
        self._supervisor = supervisor
        self._obey = obey
        self._console = Console(task.console, task.token)
        self._last = Order.CONTINUE
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._end = threading.Event()

    def start(self) -> None:
        """Send the first one at once."""
        self._thread.start()

    def stop(self) -> None:
        """Send no more."""
        self._end.set()

    def _run(self) -> None:
        sequence = 0
        while not self._end.is_set():
            if self._pulse.silence > self._task.stall_seconds:
                self._supervisor.write(Stalled(seconds=self._pulse.silence))
                return
            phase, step = self._pulse.now
            self._supervisor.write(Alive(phase=phase, step=step))
            message = Heartbeat(
                job=self._task.job, fence=self._task.fence, sequence=sequence, phase=phase, step=step, sent_at=datetime.now(UTC)
            )
            sequence += 1
            try:
                reply = self._console.ask(paths.HEARTBEAT, message, HeartbeatReply)
            except (Fenced, TokenRefused) as error:
                self._supervisor.write(FenceLost(reason=error.problems[0].what))
                return
            except LorafleetError:
                pass
            else:
                self._take(reply.order)
            self._end.wait(self._task.heartbeat_seconds)

    def _take(self, order: Order) -> None:
        # The console may repeat an order until it sees what comes of it.
        if order is not self._last and order is not Order.CONTINUE:
            self._supervisor.write(Ordered(order=order))
            self._obey(order)
        self._last = order
