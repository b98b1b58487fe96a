"""What the engine says when it cannot go on, in one clear line each."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lorafleet.contracts.problems import ConfigError, LorafleetError, UnavailableError

_MARKUP = re.compile(r"<\{%.*?%\}>|\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True)
class _Known:
    pattern: re.Pattern[str]
    kind: type[LorafleetError]
    what: str
    hint: str


def _known(pattern: str, kind: type[LorafleetError], what: str, hint: str) -> _Known:
    return _Known(re.compile(pattern, re.IGNORECASE | re.DOTALL), kind, what, hint)


# The first that matches tells; `{0}` is its first group, `{stack}` the stack.
_ALL = (
    _known(
        r"currently locked by|another update is currently in progress",
        UnavailableError,
        "another run holds the stack's lock",
        "wait for it; if it is dead for sure: pulumi cancel --stack {stack}",
    ),
    _known(
        r"passphrase must be set",
        ConfigError,
        "the stack's secrets are under a passphrase, and none is set",
        "set PULUMI_CONFIG_PASSPHRASE_FILE or PULUMI_CONFIG_PASSPHRASE",
    ),
    _known(
        r"incorrect passphrase",
        ConfigError,
        "the passphrase is not the one that the stack's secrets are under",
        "see PULUMI_CONFIG_PASSPHRASE_FILE or PULUMI_CONFIG_PASSPHRASE",
    ),
    _known(
        r"PULUMI_ACCESS_TOKEN must be set",
        UnavailableError,
        "Pulumi is logged in to no backend",
        "pulumi login, or set PULUMI_BACKEND_URL (s3://…, gs://…, azblob://…, file://…)",
    ),
    _known(
        r"no stack named '?([^'\s]+)'? found",
        UnavailableError,
        "the backend has no stack {0}",
        "lorafleet site up makes it",
    ),
    _known(
        r"unable to open bucket|unable to check if bucket|problem logging in|failed to (?:open|connect to) (?:the )?backend"
        r"|unable to list objects|could not list bucket|open backend|\.pulumi/meta\.yaml|getting user info from",
        UnavailableError,
        "the backend of Pulumi's states does not answer",
        "look at PULUMI_BACKEND_URL, at its credentials and at the network",
    ),
    _known(
        r"no valid credential sources|unable to locate credentials|failed to refresh cached credentials|ExpiredToken"
        r"|sso session.*expired|get credentials from",
        UnavailableError,
        "AWS takes no credentials of yours",
        "aws sso login, or another of AWS's own ways",
    ),
    _known(
        r"could not find default credentials|invalid_grant|reauthentication|oauth2: cannot fetch token",
        UnavailableError,
        "Google takes no credentials of yours",
        "gcloud auth application-default login",
    ),
    _known(
        r"please run 'az login'|az login|AADSTS\d+|obtain(?:ing)? (?:a )?token.*azure",
        UnavailableError,
        "Azure takes no credentials of yours",
        "az login",
    ),
    _known(
        r"(?:executable|exec:) \"?([\w.-]+)\"?[^\n]*not found|getting credentials: exec: executable ([\w.-]+) not found",
        UnavailableError,
        "the command '{0}', which logs in to the cluster, is not there",
        "install it: it belongs to the cloud's own command line",
    ),
    _known(
        r"unreachable cluster|configured Kubernetes cluster is unreachable",
        UnavailableError,
        "the cluster's API does not answer",
        "is your address in api.allow, or are you on its network?",
    ),
    _known(
        r"no resource plugin '?([\w.-]+)'?|could not find plugin '?([\w.-]+)'?|failed to load plugin ([\w.-]+)",
        UnavailableError,
        "Pulumi's plugin {0} is not there and cannot be had",
        "pulumi install, on a machine that reaches get.pulumi.com",
    ),
)


def plain(text: str) -> str:
    """A message of the engine without its colours."""
    return _MARKUP.sub("", text).strip()


def explain(stack: str, said: str, diagnostics: Sequence[str]) -> LorafleetError:
    """The error for a stack that failed, from what the command ``said`` on stderr and the engine's own diagnostics."""
    whole = "\n".join([said, *diagnostics])
    for known in _ALL:
        found = known.pattern.search(whole)
        if found is not None:
            first = next((group for group in found.groups() if group), "")
            return known.kind(known.what.format(first, stack=stack), where=stack, hint=known.hint.format(first, stack=stack))
    lines = list(dict.fromkeys(line for line in map(_first_line, diagnostics) if line))
    if not lines:
        lines = [line for line in (plain(each) for each in said.splitlines()) if line.startswith("error:")][:1]
    what = "; ".join(lines[:5]) or "the engine failed and did not say why"
    return LorafleetError(what.removeprefix("error: "), where=stack)


def _first_line(message: str) -> str:
    lines = [line.strip() for line in plain(message).splitlines() if line.strip()]
    # The engine's own summary of what the lines before it said.
    return (
        ""
        if not lines or lines[0].startswith(("update failed", "preview failed", "destroy failed", "refresh failed"))
        else lines[0]
    )
