"""What a machine that trains, or a console, finds out about its own set-up: ``lorafleet doctor`` shows it."""

from collections.abc import Sequence
from enum import StrEnum

from pydantic import BaseModel, ConfigDict
from pydantic.dataclasses import dataclass


class CheckResult(StrEnum):
    """``warn``: it works, and something could be lost or slow. ``skip``: there was nothing to check."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, config=ConfigDict(extra="ignore"))
class SetupCheck:
    """One thing that was looked at; ``hint`` says how to mend what is not ok."""

    name: str
    result: CheckResult
    found: str
    hint: str = ""


def failures(checks: Sequence[SetupCheck]) -> int:
    """How many failed; warnings do not count."""
    return sum(check.result is CheckResult.FAIL for check in checks)


class Checkup(BaseModel):
    """Everything that a console looked at. ``kind`` is the set-up that the console takes itself for: laptop, server or cluster."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    kind: str
    checks: tuple[SetupCheck, ...]

    @property
    def good(self) -> bool:
        """Whether nothing failed."""
        return not failures(self.checks)
