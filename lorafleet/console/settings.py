"""How a console is set up, and the set-ups that it refuses to start with."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from lorafleet.console.oidc.config import OidcConfig
from lorafleet.contracts.durations import parse_duration
from lorafleet.contracts.problems import ConfigError, Problem, StorageError, UsageError
from lorafleet.contracts.site import Site
from lorafleet.whole_files import write_whole

SECRET_VARIABLE = "LORAFLEET_SECRET"  # noqa: S105
PREVIOUS_SECRET_VARIABLE = "LORAFLEET_PREVIOUS_SECRET"  # noqa: S105
OIDC_CALLBACK = "/login/oidc/callback"
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_SHORTEST_SECRET = 32
_KNOWN_SECRETS = ("changethis", "changeme", "secret", "password", "default", "example")


class Auth(StrEnum):
    """Who may use the console. ``none`` makes everybody the administrator, which only loopback allows."""

    TOKEN = "token"  # noqa: S105
    NONE = "none"


@dataclass(frozen=True)
class Settings:
    """One console.

    ``public_url`` is where browsers, workers and Spinnaker reach it; ``sites`` are the facts that preflight checks need, by name.
    A worker is *unknown* once its lease of ``lease_lifetime`` has run out, and lost after ``grace`` more. ``directory`` is this
    console's own disk; of an upload it holds what one request needs.
    What was sealed under ``previous_secret`` is sealed anew at the start. ``oidc`` lets people log in with a provider too.
    ``prometheus`` answers the conditions that users name. A release's image must be signed by one of ``signing_keys``, which are
    files of public keys, unless ``allow_unsigned`` says otherwise.
    Events and logs of a job are kept for ``keep_events`` after its end; None: for ever.
    ``site_home`` is the site where this console and its PostgreSQL run, ``peer_database`` the PostgreSQL of the other site,
    and ``alone`` says that this is surely the home although that one does not answer.
    """

    database_url: str = field(repr=False)
    secret: str = field(repr=False)
    directory: Path
    host: str = "127.0.0.1"
    port: int = 8400
    public_url: str = "http://127.0.0.1:8400"
    auth: Auth = Auth.TOKEN
    team: str = "default"
    allowed_hosts: tuple[str, ...] = ()
    replicas: int = 1
    sites: Mapping[str, Site] = field(default_factory=lambda: MappingProxyType({}))
    lease_lifetime: timedelta = timedelta(seconds=30)
    grace: timedelta = timedelta(seconds=30)
    heartbeat_seconds: float = 5.0
    attempt_token_lifetime: timedelta = timedelta(days=7)
    session_lifetime: timedelta = timedelta(hours=12)
    poll_seconds: float = 1.0
    upload_bytes: int = 2 * 1024**3
    requests_per_second: float = 50.0
    request_burst: int = 300
    previous_secret: str | None = field(default=None, repr=False)
    oidc: OidcConfig | None = None
    signing_keys: tuple[Path, ...] = ()
    allow_unsigned: bool = False
    registry_credentials: Path | None = None
    prometheus: str | None = None
    keep_events: timedelta | None = timedelta(days=90)
    site_home: str | None = None
    peer_database: str | None = field(default=None, repr=False)
    alone: bool = False
    loops: bool = True

    @property
    def hosts(self) -> frozenset[str]:
        """The names that a request's Host may have: its own address, and those that are allowed besides."""
        own = {urlsplit(self.public_url).hostname or "", self.host, *self.allowed_hosts}
        return frozenset(own | LOOPBACK if self.host in LOOPBACK else own) - {"", "0.0.0.0", "::"}  # noqa: S104

    @property
    def secrets(self) -> tuple[str, ...]:
        """The keys of what is sealed: the secret, then the one that older things may still be sealed under."""
        return (self.secret, self.previous_secret) if self.previous_secret else (self.secret,)

    @property
    def https(self) -> bool:
        """Whether browsers reach the console by https."""
        return self.public_url.startswith("https://")


def refuse_unsafe(settings: Settings) -> None:
    """Refuse a set-up that would leak or lose.

    Raises:
        ConfigError: every reason, one line each.
    """
    problems = list(_unsafe(settings))
    if problems:
        raise ConfigError(problems)


def _unsafe(settings: Settings) -> list[Problem]:
    readable = _is_server(settings.public_url)
    public = urlsplit(settings.public_url if readable else "")
    loopback = settings.host in LOOPBACK and public.hostname in LOOPBACK
    found = []
    if settings.auth is Auth.NONE and not loopback:
        found.append(Problem("a console without authentication serves loopback only", "auth", "use auth = token"))
    if settings.auth is Auth.NONE and settings.oidc is not None:
        found.append(Problem("a provider is of no use where everybody is the administrator", "oidc", "use auth = token"))
    if settings.database_url.startswith("sqlite") and settings.replicas > 1:
        found.append(Problem("SQLite serves one console only", "replicas", f"use postgresql:// for {settings.replicas} replicas"))
    if settings.database_url.startswith("sqlite") and (settings.site_home or settings.peer_database):
        found.append(Problem("SQLite has no standby", "site_home", "use postgresql:// for a home and its standby"))
    if settings.signing_keys and settings.allow_unsigned:
        found.append(Problem("keys are of no use where unsigned images pass", "allow_unsigned", "leave --allow-unsigned out"))
    if settings.peer_database and not settings.site_home:
        found.append(Problem("a console that knows the other site says its own", "site_home", "give --site-home"))
    if len(settings.secret) < _SHORTEST_SECRET or settings.secret.lower().startswith(_KNOWN_SECRETS):
        found.append(
            Problem("the secret is short or well known", SECRET_VARIABLE, "leave it out and one is made at the first start")
        )
    if settings.prometheus is not None and not _is_server(settings.prometheus):
        found.append(Problem("Prometheus has an address such as http://prometheus:9090", "prometheus"))
    if not readable or public.username or public.query or public.fragment:
        found.append(Problem("the public address holds http(s)://, a host and a port only", "public_url"))
    elif public.scheme == "http" and public.hostname not in LOOPBACK:
        found.append(Problem("plain http carries tokens in the open", "public_url", "use https://, or an address on loopback"))
    return found


def _is_server(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def read_keep_events(text: str) -> timedelta | None:
    """How long events are kept, such as ``30d``; None for ``forever``.

    Raises:
        UsageError: it is no length of time.
    """
    if text == "forever":
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--keep-events: {error}", hint="write 30d, 12h or forever") from None


def load_secret(directory: Path, environment: Mapping[str, str] = os.environ) -> str:
    """The secret of this console: from the environment, or from ``directory``, where it is made at the first start, mode 0600.

    Raises:
        StorageError: the file cannot be read or written.
    """
    if given := environment.get(SECRET_VARIABLE):
        return given
    path = directory / "secret"
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            write_private(path, secrets.token_urlsafe(48))
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise StorageError(f"cannot keep the console's secret: {reason}", where=str(path)) from None


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    write_whole(path, text, mode=0o600)
