"""Progress and log lines on their way to the console: gathered, sent about once a second, and kept while it cannot be reached."""

import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

from pydantic import BaseModel

from lorafleet.contracts import paths
from lorafleet.contracts.credentials import find_credential
from lorafleet.contracts.jobs import LOG_BYTES, LOG_TAIL, MAX_METRICS, LogLines, Progress
from lorafleet.contracts.problems import LorafleetError
from trainer.worker.backoff import Backoff
from trainer.worker.channel import Stepped
from trainer.worker.redaction import Redaction
from trainer.worker.wire import Console, ConsoleUnreachable, Fenced, TokenRefused

_EVERY_SECONDS = 1.0
_FAREWELL_SECONDS = 2.0
# What is kept through an outage: one point a second for an hour, and a log of some megabytes at most.
_MOST_POINTS = 3600
_MOST_LINES = 5000
_LINE_LENGTH = 1000
_LINES_A_MESSAGE = 200


class Log:
    """The lines of an attempt, counted from 0, of which the newest are kept. Threads may share it."""

    def __init__(self) -> None:
        self.redaction = Redaction()
        self._lock = threading.Lock()
        self._lines = deque[str]()
        self._first = 0
        self._tail = deque[str](maxlen=_LINES_A_MESSAGE)

    def add(self, line: str) -> None:
        """Take a line. One that holds a credential is not passed on."""
        found = find_credential(line)
        line = f"[a line with {found[1]} is left out]" if found else self.redaction.text(line)[:_LINE_LENGTH]
        with self._lock:
            self._lines.append(line)
            self._tail.append(line)
            while len(self._lines) > _MOST_LINES:
                self._lines.popleft()
                self._first += 1

    def peek(self) -> tuple[int, tuple[str, ...]]:
        """The oldest lines that are not sent yet, as many as fit a message, and the first one's number."""
        with self._lock:
            chosen: list[str] = []
            size = 0
            for line in self._lines:
                size += len(line.encode())
                if len(chosen) == _LINES_A_MESSAGE or size > LOG_BYTES:
                    break
                chosen.append(line)
            return self._first, tuple(chosen)

    def sent(self, first: int, count: int) -> None:
        """These lines have arrived."""
        with self._lock:
            # Meanwhile the oldest may have been dropped.
            for _ in range(first + count - self._first):
                self._lines.popleft()
                self._first += 1

    @property
    def tail(self) -> str:
        """The last lines, for the outcome."""
        with self._lock:
            return "\n".join(self._tail)[-LOG_TAIL:]


class Outbox:
    """Sends an attempt's progress and log on a thread. ``on_fenced`` is told when the console will hear no more of it."""

    def __init__(self, console: Console, job: str, fence: int, log: Log, on_fenced: Callable[[str], None]) -> None:
        self._console = console
        self._job = job
        self._fence = fence
        self._log = log
        self._on_fenced = on_fenced
        self._points = deque[Progress](maxlen=_MOST_POINTS)
        self._lock = threading.Lock()
        self._backoff = Backoff()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def progress(self, event: Stepped) -> None:
        """Take a step. Steps within a second become one point that has the newest of each number."""
        now = datetime.now(UTC)
        with self._lock:
            metrics = dict(event.metrics)
            if self._points and (now - self._points[-1].sent_at).total_seconds() < _EVERY_SECONDS:
                last = self._points.pop()
                metrics, now = dict([*last.metrics.items(), *metrics.items()][-MAX_METRICS:]), last.sent_at
            self._points.append(
                Progress(
                    job=self._job, fence=self._fence, step=event.step, total_steps=max(event.total, 1),
                    seconds_left=event.seconds_left, metrics=metrics, sent_at=now,
                )
            )  # fmt: skip

    def stop(self) -> None:
        """Send no more on the thread."""
        self._end.set()
        if self._thread.is_alive():
            # It may be waiting for an answer that does not come.
            self._thread.join(_FAREWELL_SECONDS)

    def flush(self) -> bool:
        """Send everything now; False where the console cannot be reached. To be called after :meth:`stop`."""
        try:
            return self._send_all()
        except ConsoleUnreachable:
            return False

    def _run(self) -> None:
        while not self._end.is_set():
            pause = _EVERY_SECONDS
            try:
                self._send_all()
                self._backoff.reset()
            except ConsoleUnreachable:
                pause = self._backoff.wait()
            self._end.wait(pause)

    def _send_all(self) -> bool:
        while True:
            first, lines = self._log.peek()
            if not lines:
                break
            if not self._send(paths.LOG, LogLines(job=self._job, fence=self._fence, first=first, lines=lines)):
                return False
            self._log.sent(first, len(lines))
        while True:
            with self._lock:
                if not self._points:
                    return True
                point = self._points.popleft()
            try:
                if not self._send(paths.PROGRESS, point):
                    return False
            except ConsoleUnreachable:
                with self._lock:
                    if len(self._points) < _MOST_POINTS:
                        self._points.appendleft(point)
                raise

    def _send(self, path: str, message: BaseModel) -> bool:
        try:
            self._console.send(path, message)
        except (Fenced, TokenRefused) as error:
            self._end.set()
            self._on_fenced(error.problems[0].what)
            return False
        except ConsoleUnreachable:
            raise
        except LorafleetError:
            # Sent again it would be refused again; news of the next second matters more.
            return True
        return True
