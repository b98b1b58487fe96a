"""Where the value of a secret comes from: a file or standard input, never an argument."""

import sys
from getpass import getpass
from pathlib import Path

from pydantic import SecretStr

from lorafleet.contracts.console_api import NewSecret
from lorafleet.contracts.problems import NoInputError, UsageError
from lorafleet.contracts.team_secrets import checked_name, checked_value


def read_value(name: str, path: Path | None) -> SecretStr:
    """The value, without the line's end that editors and ``echo`` put after it; a person is asked for it without an echo.

    Raises:
        NoInputError: it cannot be read, or is not text.
    """
    source = "standard input" if path is None else str(path)
    try:
        if path is not None:
            text = path.read_text(encoding="utf-8")
        elif sys.stdin.isatty():
            text = getpass(f"{name}: ")
        else:
            text = sys.stdin.read()
    except (OSError, UnicodeDecodeError, EOFError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise NoInputError(f"the value cannot be read: {reason}", where=source) from None
    return SecretStr(text.rstrip("\r\n"))


def new_secret(name: str, value: SecretStr) -> NewSecret:
    """What the console is sent.

    Raises:
        UsageError: name or value will not do; the message never holds the value.
    """
    try:
        checked_name(name)
        checked_value(value)
    except ValueError as error:
        raise UsageError(str(error), where=name) from None
    return NewSecret(value=value)
