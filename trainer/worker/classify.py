"""What the end of a training process means: which class of outcome, and why in words."""

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from lorafleet.contracts.outcomes import ExitCode, OutcomeClass
from lorafleet.contracts.problems import Problem

_SHELL_SIGNALS = 128

# The process cannot be blamed for these: the kernel or the machine ended it.
_OF_THE_MACHINE = {
    signal.SIGKILL: "most often the node ran out of memory, or it was removed",
    signal.SIGBUS: "most often a full or failing disk or shared memory",
    signal.SIGXFSZ: "a file grew over the machine's limit",
    signal.SIGXCPU: "the machine's limit of processor time was reached",
}
_OF_WHOEVER_STOPS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
# What CUDA says of a broken card. Everything else it says (illegal access, launch failure) is as likely the release's own fault.
_BROKEN_CARD = re.compile(
    r"uncorrectable ECC|ECC error|fallen off the bus|hardware stack error|nvlink.*(?:error|failure)|system not yet initialized",
    re.IGNORECASE,
)


class Intent(StrEnum):
    """What the worker itself did to the process."""

    NONE = "none"
    STALLED = "stalled"
    STOPPED = "stopped"
    DRAINED = "drained"


@dataclass(frozen=True)
class Told:
    """What the process said about its own end before it ended."""

    exit_code: int
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Ending:
    """An ended attempt. ``exit_code`` is 0 exactly where ``outcome`` is ``succeeded``."""

    outcome: OutcomeClass
    exit_code: int
    problems: tuple[Problem, ...] = ()


def classify(return_code: int, told: Told | None, intent: Intent = Intent.NONE) -> Ending:
    """The ending of a process that left ``return_code`` (negative: a signal), after it had ``told`` or without a word."""
    if intent is Intent.STOPPED:
        return Ending(OutcomeClass.CANCELLED, return_code or ExitCode.INTERRUPTED, (Problem("cancelled"),))
    if intent is Intent.STALLED:
        hint = "look at the last lines of the log for what it waited for"
        return Ending(OutcomeClass.RELEASE, return_code or ExitCode.FAILED, (Problem("the training stood still", hint=hint),))
    if told is not None:
        return _of_told(told)
    if intent is Intent.DRAINED:
        problem = Problem("the worker was told to end, and the last step could not be saved in time")
        return Ending(OutcomeClass.PREEMPTED, return_code or ExitCode.PREEMPTED, (problem,))
    return _of_silence(return_code)


def _of_told(told: Told) -> Ending:
    code = _known(told.exit_code)
    if code is ExitCode.INTERRUPTED:
        # Somebody at the machine stopped the process. Only the console cancels a job; this one goes on elsewhere.
        return Ending(OutcomeClass.PREEMPTED, code, told.problems)
    if code is ExitCode.FAILED and _names_broken_card(told.problems):
        return Ending(OutcomeClass.INFRASTRUCTURE, code, told.problems)
    return Ending(code.outcome, told.exit_code, told.problems)


def _of_silence(return_code: int) -> Ending:
    number = -return_code if return_code < 0 else return_code - _SHELL_SIGNALS
    try:
        name = signal.Signals(number)
    except ValueError:
        return _of_silent_exit(return_code)
    what = f"the training process was ended by {name.name}"
    if name in _OF_THE_MACHINE:
        return Ending(OutcomeClass.INFRASTRUCTURE, return_code, (Problem(what, hint=_OF_THE_MACHINE[name]),))
    if name in _OF_WHOEVER_STOPS:
        return Ending(OutcomeClass.PREEMPTED, return_code, (Problem(what),))
    return Ending(OutcomeClass.RELEASE, return_code, (Problem(what, hint="a crash in native code of this release"),))


def _of_silent_exit(return_code: int) -> Ending:
    # It reports success with its files or not at all, so that even a 0 is a failure here.
    code = return_code or int(ExitCode.FAILED)
    problem = Problem(f"the training process ended with code {return_code} and without a word")
    return Ending(OutcomeClass.RELEASE, code, (problem,))


def _known(exit_code: int) -> ExitCode:
    try:
        return ExitCode(exit_code)
    except ValueError:
        return ExitCode.FAILED


def _names_broken_card(problems: Sequence[Problem]) -> bool:
    return any(_BROKEN_CARD.search(problem.what) for problem in problems)
