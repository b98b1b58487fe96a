"""What a registry may answer instead of what was asked for, one clear line each."""

from lorafleet.contracts.outcomes import ExitCode
from lorafleet.contracts.problems import LorafleetError


class RegistryError(LorafleetError):
    """A registry did not do what it was asked. ``where`` is ``registry/repository``, with what was asked for behind it."""

    exit_code = ExitCode.STORAGE


class Unreachable(RegistryError):
    """It did not answer, or the connection broke off: nothing is known about what it holds."""


class Refused(RegistryError):
    """It wants other credentials, or more rights."""


class NotHeld(RegistryError):
    """It has no such repository, manifest or blob."""


class Failed(RegistryError):
    """It answered with a fault of its own, such as a full disk, or that it does not do this. ``status`` is HTTP's."""

    status: int = 0


class Damaged(RegistryError):
    """What it gave is not what the digest names."""
