"""One-time tokens of a first address: whoever sees the console's terminal may open its page once."""

import hashlib
import secrets
import threading
import time
from collections.abc import Callable

_LIFETIME_SECONDS = 24 * 3600.0


class LoginTokens:
    """Each is good once, for a day, in this process. Only their SHA-256 is kept."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends: dict[str, float] = {}
        self._lock = threading.Lock()

    def make(self) -> str:
        """A new token's text."""
        text = secrets.token_urlsafe(32)
        with self._lock:
            self._ends[_digest(text)] = self._clock() + _LIFETIME_SECONDS
        return text

    def redeem(self, text: str) -> bool:
        """Whether the token is good; it is used up by this."""
        with self._lock:
            end = self._ends.pop(_digest(text), None)
        return end is not None and self._clock() < end


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
