"""The file of ``--oidc``: which provider people log in with, and what its groups may do here."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from lorafleet.console.domain.membership import Membership, Rule
from lorafleet.console.domain.records import Role
from lorafleet.contracts.document import parse, validate
from lorafleet.contracts.identifiers import Id
from lorafleet.contracts.problems import ConfigError, NoInputError

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def safe_url(url: str) -> str:
    """The URL, if codes and secrets may be sent there.

    Raises:
        ValueError: it is not https, nor http on loopback, or holds more than an address.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise ValueError("the address of a provider begins with https://")
    if not parts.hostname or parts.username or parts.fragment:
        raise ValueError("the address of a provider is https://, a host and perhaps a path")
    return url


class RoleRule(BaseModel):
    """Whoever is in the group has the role in the team."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    group: str = Field(min_length=1, max_length=500)
    team: Id
    role: Role


class OidcFile(BaseModel):
    """What stands in the file. ``issuer`` is spelled as the provider spells it, to the last slash.

    ``roles`` are read from the top, and the first whose group the person is in counts. A session ends with the provider's ID token
    where ``end_with_id_token`` is true, and with the console's own session lifetime in any case.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: Annotated[str, AfterValidator(safe_url)]
    client_id: str = Field(min_length=1, max_length=500)
    client_secret_file: Path | None = None
    name: str = Field(default="single sign-on", min_length=1, max_length=60)
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    groups_claim: str = Field(default="groups", min_length=1)
    roles: tuple[RoleRule, ...] = Field(min_length=1)
    end_with_id_token: bool = True


@dataclass(frozen=True)
class OidcConfig:
    """The provider, the console's own name and secret there, and the rules. A public client has no secret."""

    issuer: str
    client_id: str
    client_secret: SecretStr | None
    name: str
    scopes: tuple[str, ...]
    groups_claim: str
    rules: tuple[Rule, ...]
    end_with_id_token: bool


def read_oidc(path: Path) -> OidcConfig:
    """Read the file, YAML or JSON; the secret's file is named relative to it.

    Raises:
        NoInputError: it or the secret's file cannot be read.
        ConfigError: a key is wrong, with its line, or the secret is empty.
    """
    given = validate(OidcFile, parse(_text(path, "the provider's settings"), str(path)))
    if "openid" not in given.scopes:
        raise ConfigError("scopes must hold openid", where=str(path), hint="a provider gives no ID token otherwise")
    return OidcConfig(
        issuer=given.issuer,
        client_id=given.client_id,
        client_secret=_secret(path, given.client_secret_file),
        name=given.name,
        scopes=given.scopes,
        groups_claim=given.groups_claim,
        rules=tuple(Rule(rule.group, Membership(rule.team, rule.role)) for rule in given.roles),
        end_with_id_token=given.end_with_id_token,
    )


def _secret(path: Path, file: Path | None) -> SecretStr | None:
    if file is None:
        return None
    text = _text(path.parent / file, "the client's secret").strip()
    if not text:
        raise ConfigError("the client's secret is empty", where=str(path.parent / file))
    return SecretStr(text)


def _text(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise NoInputError(f"{what} cannot be read: {reason}", where=str(path)) from None
