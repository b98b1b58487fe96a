"""Why a build failed, read from what the builder printed: the last thing is seldom the reason."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lorafleet.contracts.outcomes import ExitCode
from lorafleet.contracts.problems import LorafleetError

_LONGEST = 500


class BuildFailed(LorafleetError):
    """The builder ended with an error."""


class DiskFull(BuildFailed):
    """There is no room for the layers."""

    exit_code = ExitCode.STORAGE


class NoNetwork(BuildFailed):
    """A registry, the distribution's archive or the package index was not reached."""

    exit_code = ExitCode.UNAVAILABLE


@dataclass(frozen=True)
class _Reason:
    pattern: str
    kind: type[BuildFailed]
    hint: str


# In this order: a full disk makes other things fail too.
_REASONS = (
    _Reason(
        r"no space left on device|disk quota exceeded",
        DiskFull,
        "the trainer needs about 20 GB while it is built; '{prune}' removes layers that no image uses",
    ),
    _Reason(
        r"do not match the hashes|hash mismatch|hashes are required",
        BuildFailed,
        "the package index gives other files than requirements/*.txt names: do not install them; 'make lock' resolves anew",
    ),
    _Reason(
        r"certificate verify failed|x509|unknownissuer|invalid peer certificate",
        NoNetwork,
        "behind a proxy that signs for others, name its certificates: --ca FILE",
    ),
    _Reason(
        r"temporary failure (in name resolution|resolving)|could not resolve|no such host|dns error|name or service not known"
        r"|network is unreachable|connection (refused|reset|timed out)|i/o timeout|tls handshake timeout|error sending request"
        r"|failed to fetch|unexpected eof",
        NoNetwork,
        "try again, or name a package index that is reached: --package-index URL",
    ),
    _Reason(
        r"unauthorized|authentication required|access denied|denied:|403 forbidden|insufficient_scope",
        BuildFailed,
        "log in to the registry with 'docker login' or 'buildah login', with the right to push",
    ),
    _Reason(r"manifest unknown|manifest.* not found|name unknown", BuildFailed, "is the base's name and digest right?"),
    _Reason(r"unable to locate package|has no installation candidate", BuildFailed, "the base must be Debian's or Ubuntu's"),
)


def failure(builder: str, said: Sequence[str], prune: str) -> BuildFailed:
    """The error for a failed build. ``said`` are the last lines that the builder printed; ``prune`` is its command to free space."""
    for reason in _REASONS:
        pattern = re.compile(reason.pattern, re.IGNORECASE)
        line = next((line for line in reversed(said) if pattern.search(line)), None)
        if line is not None:
            return reason.kind(f"{builder} failed: {_short(line)}", hint=reason.hint.format(prune=prune))
    last = next((line for line in reversed(said) if line.strip()), "it said nothing")
    return BuildFailed(f"{builder} failed: {_short(last)}", hint="--verbose shows everything that it prints")


def _short(line: str) -> str:
    line = re.sub(r"\x1b\[[0-9;]*m", "", line).strip()
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} …"
