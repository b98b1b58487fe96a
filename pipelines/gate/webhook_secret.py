"""The secret that stands in the webhook trigger in Gate, and nowhere else: not in a spec, a rendered pipeline or a plan."""

import re
from collections.abc import Mapping

from lorafleet.contracts.problems import ConfigError
from pipelines.secret_sources import secret

VARIABLE = "LORAFLEET_WEBHOOK_SECRET"
_SHORTEST = 16


def read_webhook_secret(environment: Mapping[str, str]) -> str | None:
    """The secret from the environment or the file that it names; None where neither is set.

    Raises:
        ConfigError: it is too short to guard anything, or Echo, which reads it as a regular expression, would match more than it.
    """
    found = secret(VARIABLE, environment)
    if found is not None and (len(found) < _SHORTEST or not re.fullmatch(r"[A-Za-z0-9_-]+", found)):
        raise ConfigError(
            f"{VARIABLE} holds no good secret",
            hint=f"at least {_SHORTEST} letters, digits, '-' and '_', such as of openssl rand -hex 32",
        )
    return found
