"""Secrets come from the environment or from files that it names, never from a command line."""

from collections.abc import Mapping
from pathlib import Path

from lorafleet.contracts.problems import ConfigError, NoInputError


def secret(name: str, environment: Mapping[str, str]) -> str | None:
    """The secret in the variable ``name``, or in the file that ``name_FILE`` names; None where neither is set.

    Raises:
        ConfigError: both are set, or the secret is empty or has letters that no HTTP header carries.
        NoInputError: the file cannot be read.
    """
    given, path = environment.get(name), environment.get(f"{name}_FILE")
    if given and path:
        raise ConfigError(f"{name} and {name}_FILE are both set", hint="unset one")
    if path:
        given = _read(Path(path), f"{name}_FILE")
    if given is None or (not given and not path):
        return None
    return _clean(given, f"{name}_FILE" if path else name)


def readable(name: str, environment: Mapping[str, str]) -> str | None:
    """The path in the variable ``name`` of a file that can be read; None where it is not set.

    Raises:
        NoInputError: the file cannot be read.
    """
    path = environment.get(name)
    if path:
        _read(Path(path), name)
    return path or None


def _read(path: Path, name: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is no text"
        raise NoInputError(f"the file that {name} names cannot be read: {reason}", where=str(path)) from None


def _clean(text: str, source: str) -> str:
    text = text.strip()
    if not text:
        raise ConfigError(f"{source} holds nothing", hint="unset it, or put the secret in")
    if not (text.isascii() and text.isprintable()):
        raise ConfigError(f"{source} holds letters that no HTTP header carries", hint="it is one line of ASCII")
    return text
