"""Errors that a person can act on: what is wrong, where, and how to mend it, in one line each."""

from collections.abc import Iterable
from dataclasses import dataclass

from lorafleet.contracts.outcomes import ExitCode


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    ``where`` names a file, a ``file:line`` or a key; ``hint`` says how to mend it. Either may be empty.
    """

    what: str
    where: str = ""
    hint: str = ""

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        return f"{line} ({self.hint})" if self.hint else line


class LorafleetError(Exception):
    """Base of every error that is shown to a person as lines without a traceback."""

    exit_code: ExitCode = ExitCode.FAILED

    def __init__(self, problems: Problem | str | Iterable[Problem], *, where: str = "", hint: str = "") -> None:
        if isinstance(problems, str):
            problems = Problem(problems, where, hint)
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class UsageError(LorafleetError):
    """A command was called with words that do not fit together."""

    exit_code = ExitCode.USAGE


class ConfigError(LorafleetError):
    """A configuration file or value is wrong."""

    exit_code = ExitCode.CONFIG


class DataError(LorafleetError):
    """A data set cannot be trained on."""

    exit_code = ExitCode.DATA


class NoInputError(LorafleetError):
    """A file or folder that was named is not there or cannot be read."""

    exit_code = ExitCode.NO_INPUT


class UnavailableError(LorafleetError):
    """Something this machine or image should have is missing or does not fit (driver, device, package)."""

    exit_code = ExitCode.UNAVAILABLE


class OutOfMemoryError(LorafleetError):
    """The smallest possible step does not fit the device."""

    exit_code = ExitCode.OUT_OF_MEMORY


class NonFiniteError(LorafleetError):
    """A loss, latent or weight became NaN or infinite."""

    exit_code = ExitCode.NON_FINITE


class StorageError(LorafleetError):
    """A disk or object store refused a read or a write."""

    exit_code = ExitCode.STORAGE


class Preempted(LorafleetError):
    """SIGTERM arrived; the last finished step is saved. Not a failure of the training."""

    exit_code = ExitCode.PREEMPTED


class Interrupted(LorafleetError):
    """A person pressed Ctrl-C; the last finished step is saved."""

    exit_code = ExitCode.INTERRUPTED
