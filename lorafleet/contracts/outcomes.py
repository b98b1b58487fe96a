"""How a training attempt ends: exit codes of the process and the outcome classes of the job protocol."""

from enum import IntEnum, StrEnum


class OutcomeClass(StrEnum):
    """Who has to act on an ended attempt. Only ``release`` counts into a release's errorRate."""

    SUCCEEDED = "succeeded"
    RELEASE = "release"
    USER = "user"
    INFRASTRUCTURE = "infrastructure"
    CANCELLED = "cancelled"
    PREEMPTED = "preempted"


class ExitCode(IntEnum):
    """Process exit codes; the numbers follow BSD sysexits(3) where it has a fitting one."""

    FINISHED = 0
    FAILED = 1
    USAGE = 2
    DATA = 65
    NO_INPUT = 66
    UNAVAILABLE = 69
    OUT_OF_MEMORY = 71
    NON_FINITE = 72
    STORAGE = 74
    PREEMPTED = 75
    CONFIG = 78
    INTERRUPTED = 130

    @property
    def outcome(self) -> OutcomeClass:
        """The class that a worker reports for a process that ended with this code."""
        return _OUTCOMES[self]


_OUTCOMES = {
    ExitCode.FINISHED: OutcomeClass.SUCCEEDED,
    ExitCode.FAILED: OutcomeClass.RELEASE,
    ExitCode.USAGE: OutcomeClass.USER,
    ExitCode.DATA: OutcomeClass.USER,
    ExitCode.NO_INPUT: OutcomeClass.USER,
    ExitCode.UNAVAILABLE: OutcomeClass.RELEASE,
    ExitCode.OUT_OF_MEMORY: OutcomeClass.USER,
    ExitCode.NON_FINITE: OutcomeClass.USER,
    ExitCode.STORAGE: OutcomeClass.INFRASTRUCTURE,
    ExitCode.PREEMPTED: OutcomeClass.PREEMPTED,
    ExitCode.CONFIG: OutcomeClass.USER,
    ExitCode.INTERRUPTED: OutcomeClass.CANCELLED,
}
