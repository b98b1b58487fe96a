"""Credentials of registries, as Docker and Podman keep them: in a configuration file, or with a helper program."""

import base64
import binascii
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from lorafleet.contracts.problems import ConfigError, NoInputError, UnavailableError

HELPER_SECONDS = 30.0
"""A helper may ask its cloud for a token."""
_HELPER = re.compile(r"[A-Za-z0-9._-]+")
_DOCKER_HUB_KEY = "https://index.docker.io/v1/"
_TOKEN_USER = "<token>"  # noqa: S105


@dataclass(frozen=True)
class Login:
    """A user with a password, or an identity token (as ``az acr login`` keeps one), which is exchanged for access tokens."""

    user: str
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The value of ``Authorization`` for basic authentication."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


class Credentials(Protocol):
    """Where logins come from."""

    def login(self, host: str, repository: str) -> Login | None:
        """The login for a repository, None for nobody's."""
        ...


class Anonymous:
    """No credentials."""

    def login(self, host: str, repository: str) -> Login | None:
        """See Credentials."""
        return None


@dataclass(frozen=True)
class DockerConfig:
    """A Docker configuration: ``auths`` with their entries, ``helpers`` by host, and the ``store`` for all other hosts.

    A key of ``auths`` may be a host, an address with https, or, as Podman has it, a host with a path. The longest that fits wins.
    """

    source: str
    auths: Mapping[str, Login] = field(default_factory=lambda: MappingProxyType({}))
    helpers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    store: str = ""

    @property
    def knows_any(self) -> bool:
        """Whether there is a login to be had of it; after the last ``docker logout`` there is none."""
        return bool(self.auths or self.helpers or self.store)

    def login(self, host: str, repository: str) -> Login | None:
        """See Credentials.

        Raises:
            UnavailableError: the helper is not installed or fails.
        """
        server = _DOCKER_HUB_KEY if host == "docker.io" else host
        helper = self.helpers.get(host) or self.store
        if helper:
            return self.auths.get(host) if self._has_no_helper(host) else _ask_helper(helper, server)
        wanted = f"{host}/{repository}"
        fitting = [key for key in self.auths if wanted == key or wanted.startswith(f"{key}/")]
        return self.auths[max(fitting, key=len)] if fitting else None

    def _has_no_helper(self, host: str) -> bool:
        # An entry with a password in the file beside a store for the rest: what ``docker login`` leaves where the store is new.
        return host not in self.helpers and host in self.auths


def read_credentials(path: Path | None = None) -> Credentials:
    """Credentials from a file; without one from the first of those that Docker, Podman and Buildah write that has any.

    Raises:
        NoInputError: the file cannot be read.
        ConfigError: it is no Docker configuration, or a named one has no credentials. Its content is never repeated.
    """
    if path is not None:
        found = _read(path)
        if found is None:
            raise _not_one(path)
        return found
    usual = (_read(place) for place in _usual_places(os.environ) if place.is_file())
    return next((found for found in usual if found is not None and found.knows_any), Anonymous())


def _read(path: Path) -> DockerConfig | None:
    """The configuration, None where it says nothing of credentials."""
    try:
        return _config(json.loads(path.read_text(encoding="utf-8")), str(path))
    except OSError as error:
        raise NoInputError(f"cannot be read: {error.strerror}", where=str(path)) from None
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        # Whatever went wrong, its message may hold a part of the file.
        raise _not_one(path) from None


def _not_one(path: Path) -> ConfigError:
    return ConfigError("this is no Docker configuration with auths or credential helpers", where=str(path))


def _usual_places(environment: Mapping[str, str]) -> list[Path]:
    places = [Path(environment["REGISTRY_AUTH_FILE"])] if environment.get("REGISTRY_AUTH_FILE") else []
    home = Path(environment.get("HOME") or "/")
    docker = environment.get("DOCKER_CONFIG")
    places.append(Path(docker) / "config.json" if docker else home / ".docker" / "config.json")
    if environment.get("XDG_RUNTIME_DIR"):
        places.append(Path(environment["XDG_RUNTIME_DIR"]) / "containers" / "auth.json")
    return places


def _config(values: Any, source: str) -> DockerConfig | None:
    if not {"auths", "credHelpers", "credsStore"} & set(values.keys()):
        return None
    # Docker leaves empty entries for what its store keeps.
    auths = {_key(name): _entry(entry) for name, entry in (values.get("auths") or {}).items() if entry}
    helpers = {_key(host): _helper(name) for host, name in (values.get("credHelpers") or {}).items()}
    store = values.get("credsStore") or ""
    return DockerConfig(source, auths, helpers, _helper(store) if store else "")


def _key(name: str) -> str:
    key = re.sub(r"^https?://", "", name).rstrip("/")
    if key in ("index.docker.io/v1", "index.docker.io", "registry-1.docker.io"):
        return "docker.io"
    return key


def _entry(entry: Mapping[str, Any]) -> Login:
    token = str(entry.get("identitytoken") or "")
    user, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        try:
            user, _, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
        except binascii.Error as error:
            raise ValueError from error
    return Login(user, password.rstrip("\0"), token)


def _helper(name: str) -> str:
    if _HELPER.fullmatch(name) is None:
        raise ValueError
    return name


def _ask_helper(name: str, server: str) -> Login | None:
    program = f"docker-credential-{name}"
    path = shutil.which(program)
    if path is None:
        raise UnavailableError(f"{server} wants the credential helper {program}, which is not on PATH", hint="install it")
    try:
        done = subprocess.run(  # noqa: S603
            [path, "get"], input=server.encode(), capture_output=True, timeout=HELPER_SECONDS, check=False
        )
        if done.returncode != 0:
            # Only this answer is standard; any other text may hold what it should not.
            if b"credentials not found" in done.stdout + done.stderr:
                return None
            raise UnavailableError(f"{program} gave no credentials for {server} (code {done.returncode})", hint="log in again")
        answer = json.loads(done.stdout)
        user, secret = str(answer["Username"]), str(answer["Secret"])
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError, TypeError) as error:
        raise UnavailableError(f"{program} gave no credentials for {server} ({type(error).__name__})") from None
    return Login(user, identity_token=secret) if user == _TOKEN_USER else Login(user, secret)
