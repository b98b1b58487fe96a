"""What a registry asks for with a 401: RFC 9110's ``WWW-Authenticate``, as the distribution specification uses it."""

import re
from dataclasses import dataclass

_SCHEME = re.compile(r"\s*(?P<scheme>[A-Za-z]+)(?:\s+|$)")
_PARAMETER = re.compile(r"\s*(?P<name>[A-Za-z_]+)\s*=\s*(?:\"(?P<quoted>(?:[^\"\\]|\\.)*)\"|(?P<bare>[^\s,\"]+))\s*(?:,|$)")


@dataclass(frozen=True)
class Challenge:
    """``scheme`` in small letters: ``basic`` or ``bearer``. The realm of a bearer challenge is where tokens are had."""

    scheme: str
    realm: str = ""
    service: str = ""


def parse_challenge(header: str) -> Challenge | None:
    """The first challenge of the header; None where it is neither basic nor bearer."""
    found = _SCHEME.match(header)
    if found is None or found["scheme"].lower() not in ("basic", "bearer"):
        return None
    values: dict[str, str] = {}
    position = found.end()
    while (parameter := _PARAMETER.match(header, position)) is not None:
        quoted = parameter["quoted"]
        value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else parameter["bare"]
        values.setdefault(parameter["name"].lower(), value)
        position = parameter.end()
    return Challenge(found["scheme"].lower(), values.get("realm", ""), values.get("service", ""))
