"""How Gate is told who calls: a client certificate, a password, an OAuth2 bearer or one of Gate's own API tokens."""

from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from lorafleet.contracts.problems import ConfigError
from pipelines.secret_sources import readable, secret

CERTIFICATE = "LORAFLEET_GATE_CERT"
KEY = "LORAFLEET_GATE_KEY"
USER = "LORAFLEET_GATE_USER"
PASSWORD = "LORAFLEET_GATE_PASSWORD"  # noqa: S105
BEARER = "LORAFLEET_GATE_BEARER"
TOKEN = "LORAFLEET_GATE_TOKEN"  # noqa: S105

CHOICE = "set LORAFLEET_GATE_TOKEN, _BEARER, _USER and _PASSWORD, or _CERT and _KEY"


class Kind(StrEnum):
    """``x509``: Gate's API port (``default.apiPort``) wants it; ``token``: since Gate has ``api-tokens.enabled``."""

    NONE = "none"
    X509 = "x509"
    BASIC = "basic"
    BEARER = "bearer"
    TOKEN = "token"  # noqa: S105


@dataclass(frozen=True)
class Credentials:
    """What goes with every call; only the kind is ever shown."""

    kind: Kind = Kind.NONE
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    certificate: tuple[str, str] | None = field(default=None, repr=False)

    @property
    def variable(self) -> str:
        """The name of the variable that tells their kind."""
        return _VARIABLES[self.kind]


_VARIABLES = {
    Kind.NONE: "",
    Kind.X509: CERTIFICATE,
    Kind.BASIC: USER,
    Kind.BEARER: BEARER,
    Kind.TOKEN: TOKEN,
}


def read_credentials(environment: Mapping[str, str]) -> Credentials:
    """The credentials that the environment names, by value or, as ``…_FILE``, by file; none at all is allowed too.

    Raises:
        ConfigError: two kinds are set, or half of one.
        NoInputError: a file that is named cannot be read.
    """
    found = [credentials for read in _KINDS if (credentials := read(environment)) is not None]
    if len(found) > 1:
        named = " and ".join(credentials.variable for credentials in found)
        raise ConfigError(f"credentials of two kinds are set for Gate: {named}", hint="unset one")
    return found[0] if found else Credentials()


def _x509(environment: Mapping[str, str]) -> Credentials | None:
    certificate, key = readable(CERTIFICATE, environment), readable(KEY, environment)
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise ConfigError("a client certificate for Gate needs its key too", hint=f"set both {CERTIFICATE} and {KEY}")
    return Credentials(Kind.X509, certificate=(certificate, key))


def _basic(environment: Mapping[str, str]) -> Credentials | None:
    user, password = environment.get(USER) or None, secret(PASSWORD, environment)
    if user is None and password is None:
        return None
    if user is None or password is None:
        raise ConfigError("a user for Gate needs a password too", hint=f"set both {USER} and {PASSWORD}")
    if ":" in user:
        raise ConfigError(f"{USER} has a colon, which ends the name in basic authentication")
    encoded = b64encode(f"{user}:{password}".encode()).decode()
    return Credentials(Kind.BASIC, {"Authorization": f"Basic {encoded}"})


def _bearer(environment: Mapping[str, str]) -> Credentials | None:
    bearer = secret(BEARER, environment)
    return None if bearer is None else Credentials(Kind.BEARER, {"Authorization": f"Bearer {bearer}"})


def _token(environment: Mapping[str, str]) -> Credentials | None:
    token = secret(TOKEN, environment)
    return None if token is None else Credentials(Kind.TOKEN, {"X-Spinnaker-Token": token})


_KINDS: tuple[Callable[[Mapping[str, str]], Credentials | None], ...] = (_x509, _basic, _bearer, _token)
