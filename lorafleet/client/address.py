"""Where the console is and who one is to it: options, environment, or the file that ``lorafleet serve --ready-file`` writes."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from lorafleet.contracts.problems import NoInputError, UsageError

URL_VARIABLE = "LORAFLEET_CONSOLE"
TOKEN_VARIABLE = "LORAFLEET_TOKEN"  # noqa: S105
TOKEN_FILE_VARIABLE = "LORAFLEET_TOKEN_FILE"  # noqa: S105
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True)
class Address:
    """A console, and the token for it."""

    url: str
    token: SecretStr | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
            raise UsageError("the console's address is https://, a host and perhaps a port", hint=f"--console or {URL_VARIABLE}")
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise UsageError("plain http would carry the token in the open", where=self.url, hint="use https://")
        object.__setattr__(self, "url", self.url.rstrip("/"))


def find_address(url: str | None, token_file: Path | None, environment: Mapping[str, str] = os.environ) -> Address:
    """The console that a command means. A token never stands on a command line, where other users see it.

    Raises:
        UsageError: no address was given, or one that is none.
        NoInputError: the token's file cannot be read.
    """
    url = url or environment.get(URL_VARIABLE)
    if not url:
        raise UsageError("which console?", hint=f"give --console URL, or set {URL_VARIABLE}")
    path = token_file or (Path(environment[TOKEN_FILE_VARIABLE]) if environment.get(TOKEN_FILE_VARIABLE) else None)
    text = environment.get(TOKEN_VARIABLE)
    if path is not None:
        try:
            text = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise NoInputError(f"the token cannot be read: {reason}", where=str(path)) from None
    return Address(url, SecretStr(text) if text else None)
