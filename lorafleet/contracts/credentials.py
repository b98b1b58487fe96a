"""Recognizing credentials, so that they never get into a file that is committed, shown or logged."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

# A name like this holds a credential whatever its value looks like; kubeconfig_command, which only says how to get one, does not.
_NAMES = re.compile(
    r".*(?:kubeconfig|passw(?:or)?d|secret|token|credentials?|private[_-]?key|(?:secret[_-]?)?access[_-]?key|api[_-]?key"
    r"|client[_-]?key[_-]?data|client[_-]?certificate[_-]?data|connection[_-]?string)(?:[_-]?(?:id|data|value))?",
    re.IGNORECASE,
)
_VALUES = {
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "a kubeconfig": re.compile(
        r"(?:client-key-data|client-certificate-data|current-context)\s*:|[\"']?kind[\"']?\s*:\s*[\"']?Config\b"
    ),
    "an AWS access key": re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    "a JSON web token": re.compile(r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\."),
    "an access token": re.compile(
        r"\b(?:gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}|xox[abeoprs]-[\w-]{10,}|spk_\w{10,}|ya29\.[\w-]{20,})"
    ),
    "an Azure account key": re.compile(r"\bAccountKey=", re.IGNORECASE),
    "a signed URL": re.compile(r"[?&](?:sig|X-Amz-Signature|X-Goog-Signature)=", re.IGNORECASE),
    "a URL with a password": re.compile(r"://[^/\s:@]*:[^/\s@]+@"),
    "a chat webhook": re.compile(
        r"https://(?:hooks\.slack\.com|[\w.-]+\.webhook\.office\.com|chat\.googleapis\.com)/", re.IGNORECASE
    ),
    "a credential on a command line": re.compile(r"^--?(?:token|password|client-key)\b"),
}


def find_credential(value: Any) -> tuple[str, str] | None:
    """The dotted place of the first credential in plain nested values, and in words what it is; None where there is none.

    The answer never holds the credential itself.
    """
    return _find(value, "")


def _find(value: Any, place: str) -> tuple[str, str] | None:
    if isinstance(value, Mapping):
        for key, child in value.items():
            here = f"{place}.{key}" if place else str(key)
            if _NAMES.fullmatch(str(key)) and child not in (None, ""):
                return here, "a credential by its name"
            if (found := _find(child, here)) is not None:
                return found
    elif isinstance(value, list | tuple):
        for index, child in enumerate(value):
            if (found := _find(child, f"{place}[{index}]")) is not None:
                return found
    elif isinstance(value, str):
        for what, pattern in _VALUES.items():
            if pattern.search(value) or pattern.search(_decoded(value)):
                return place, what
    return None


def _decoded(value: str) -> str:
    # Kubernetes writes keys and certificates in base64.
    try:
        return base64.b64decode(value, validate=True).decode("utf-8", errors="replace")
    except (binascii.Error, ValueError):
        return ""
