"""Taking credentials out of what a training process wrote, before it is stored or shown. Pure."""

from lorafleet.contracts.credentials import find_credential
from lorafleet.contracts.jobs import LogLines, Outcome, ReportedProblem


def redacted(line: str) -> str:
    """The line, or a note in its place where something in it looks like a credential."""
    found = find_credential(line)
    return line if found is None else f"[a line was taken out: it held {found[1]}]"


def printable(text: str) -> str:
    """The text as one line without control characters, which PostgreSQL and terminals do not take."""
    return "".join(character if character.isprintable() else " " for character in text)


def redacted_log(message: LogLines) -> LogLines:
    """A message of the log without credentials."""
    return message.model_copy(update={"lines": tuple(_kept(line) for line in message.lines)})


def redacted_outcome(message: Outcome) -> Outcome:
    """An outcome without credentials."""
    problems = tuple(
        ReportedProblem(what=_kept(line.what), where=_kept(line.where), hint=_kept(line.hint)) for line in message.problems
    )
    tail = "\n".join(_kept(line) for line in message.log_tail.splitlines())
    return message.model_copy(update={"problems": problems, "log_tail": tail})


def _kept(text: str) -> str:
    return redacted(printable(text))
