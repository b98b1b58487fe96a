"""Taking a job's secrets out of what its training process writes and says."""

from collections.abc import Iterable

from lorafleet.contracts.problems import Problem
from lorafleet.contracts.team_secrets import SHORTEST

HIDDEN = "[secret]"


class Redaction:
    """Replaces exact values: each whole, and each line of one that has several, since a log comes line by line."""

    def __init__(self) -> None:
        self._parts: tuple[str, ...] = ()

    def hide(self, values: Iterable[str]) -> None:
        """From now on these are replaced."""
        parts = {part for value in values for part in (value, *value.splitlines()) if len(part.strip()) >= SHORTEST}
        # One may be a part of another.
        self._parts = tuple(sorted(parts, key=len, reverse=True))

    def text(self, text: str) -> str:
        """The text without the values."""
        for part in self._parts:
            text = text.replace(part, HIDDEN)
        return text

    def problem(self, problem: Problem) -> Problem:
        """The problem without the values."""
        return Problem(self.text(problem.what), self.text(problem.where), self.text(problem.hint))
