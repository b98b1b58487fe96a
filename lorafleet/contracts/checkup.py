"""What a console finds out about its own set-up."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class CheckResult(StrEnum):
    """``warn``: it works, and something could be lost or slow."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class SetupCheck(BaseModel):
    """One thing that was looked at; ``hint`` says how to mend what is not ok."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str
    result: CheckResult
    found: str
    hint: str = ""


class Checkup(BaseModel):
    """Everything that was looked at. ``kind`` is the set-up that the console takes itself for: laptop, server or cluster."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    kind: str
    checks: tuple[SetupCheck, ...]

    @property
    def good(self) -> bool:
        """Whether nothing failed."""
        return all(check.result is not CheckResult.FAIL for check in self.checks)
