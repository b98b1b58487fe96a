"""Faults that a test asks for through the environment of the engine."""

import itertools
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Operation = Literal["create", "unready", "update", "delete"]

FAIL = "STANDIN_FAIL"
"""``OPERATION:TOKEN``, ``OPERATION:TOKEN::NAME`` or ``OPERATION:N`` for the n-th operation; ``unready`` is made but never well."""

DELAY = "STANDIN_DELAY"
"""Seconds that each creation takes."""


@dataclass
class Injection:
    """``fail`` as :data:`FAIL` has it; ``delay`` in seconds."""

    fail: str = ""
    delay: float = 0
    _count: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @classmethod
    def told(cls, environment: Mapping[str, str] = os.environ) -> "Injection":
        return cls(environment.get(FAIL, ""), float(environment.get(DELAY, "0")))

    def wait(self) -> None:
        time.sleep(self.delay)

    def strikes(self, operation: Operation, token: str, name: str) -> bool:
        """Whether this operation on this resource is to fail."""
        wanted, _, at = self.fail.partition(":")
        if wanted != operation:
            return False
        if at.isdigit():
            return next(self._count) == int(at)
        return at in (token, f"{token}::{name}")
