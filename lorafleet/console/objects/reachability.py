"""Whether something remote answers, without waiting for it again and again: a circuit breaker of one state a store."""

import threading
import time
from collections.abc import Callable

from lorafleet.contracts.problems import LorafleetError

PATIENCE_SECONDS = 2.0
FRESH_SECONDS = 1.0
AGAIN_SECONDS = 3.0


class Reachability:
    """Knows from ``probe`` whether something answers.

    A sign of life counts for ``fresh`` seconds. A first failure costs whoever asks at most ``patience`` seconds; after it everybody is
    told no at once, while one probe in the background, every ``again`` seconds at most, finds out whether it came back.
    """

    def __init__(
        self,
        probe: Callable[[], None],
        *,
        patience: float = PATIENCE_SECONDS,
        fresh: float = FRESH_SECONDS,
        again: float = AGAIN_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._probe = probe
        self._patience = patience
        self._fresh = fresh
        self._again = again
        self._clock = clock
        self._lock = threading.Lock()
        self._answers = True
        self._known_at: float | None = None
        self._running: threading.Event | None = None
        self.reason = ""
        """What the last failure said of itself."""

    def begin(self) -> threading.Event | None:
        """Start to find out, where that is due; what is waited for, or None where the answer is known."""
        with self._lock:
            age = None if self._known_at is None else self._clock() - self._known_at
            if age is not None and age < (self._fresh if self._answers else self._again):
                return None
            running = self._running or self._start()
            return running if self._answers else None

    def ask(self, patience: float | None = None) -> bool:
        """Whether it answers; ``patience`` is less than usual where several are waited for together."""
        running = self.begin()
        if running is not None and not running.wait(self._patience if patience is None else max(0.0, patience)):
            self.failed("it does not answer in time")
        with self._lock:
            return self._answers

    def failed(self, reason: str) -> None:
        """Somebody found that it does not answer."""
        self._note(False, reason)

    def _start(self) -> threading.Event:
        running = self._running = threading.Event()
        # A daemon, because a probe that hangs must not keep the process alive.
        threading.Thread(target=self._run, args=(running,), name="store probe", daemon=True).start()
        return running

    def _run(self, running: threading.Event) -> None:
        try:
            self._probe()
        except Exception as error:  # noqa: BLE001  (whatever is wrong with it, it is of no use now)
            self._note(False, str(error) if isinstance(error, LorafleetError) else type(error).__name__)
        else:
            self._note(True, "")
        with self._lock:
            self._running = None
        running.set()

    def _note(self, answers: bool, reason: str) -> None:
        with self._lock:
            self._answers = answers
            self.reason = reason
            self._known_at = self._clock()
