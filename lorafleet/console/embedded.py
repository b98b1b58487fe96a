"""The embedded console: SQLite and folders below one directory, on this machine's loopback."""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

from pydantic import SecretStr
from starlette.types import ASGIApp

from lorafleet import __version__
from lorafleet.console.domain.records import Role, SiteRecord
from lorafleet.console.listening import http_url
from lorafleet.console.objects.config import StoreConfig, open_store
from lorafleet.console.objects.folder import FolderStore
from lorafleet.console.objects.folder_server import folder_app
from lorafleet.console.objects.signing import Permit, signed_url
from lorafleet.console.objects.store import Store
from lorafleet.console.objects.stores import Stores
from lorafleet.console.ports import Ledger
from lorafleet.console.settings import PREVIOUS_SECRET_VARIABLE, Settings, load_secret, write_private
from lorafleet.contracts.jobs import Method, ObjectGrant
from lorafleet.contracts.layout import ID
from lorafleet.contracts.problems import StorageError, UsageError

APPLICATION = "lorafleet"
BACKUP = "backup"
RELEASE = f"sha256:{hashlib.sha256(f'lorafleet {__version__}'.encode()).hexdigest()}"
"""What workers of this version run, where no image says it: the embedded console's stable release."""


class ServedFolder(FolderStore):
    """A folder that the console itself serves: written and read directly here, by signed URLs of ``base`` elsewhere."""

    def __init__(self, name: str, root: Path, base: str, secret: bytes) -> None:
        super().__init__(name, root)
        self._base = base
        self._secret = secret

    def app(self) -> ASGIApp:
        """What serves it."""
        return folder_app(self, self._secret)

    def grant(
        self, key: str, method: Method, *, lifetime: timedelta, size: int | None = None, sha256: str | None = None
    ) -> ObjectGrant:
        """See Store."""
        expires_at = datetime.now(UTC) + lifetime
        permit = Permit(method.value, self._checked(key), int(expires_at.timestamp()), size, sha256)
        url = SecretStr(signed_url(self._base, permit, self._secret))
        return ObjectGrant(key=key, method=method, store=self.name, url=url, expires_at=expires_at)


@dataclass(frozen=True)
class SiteOption:
    """``--site NAME=STORE_URL`` with what belongs to its store; without a URL it is a folder that the console serves."""

    name: str
    url: str | None = None
    secret_file: Path | None = None
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class StoreSet:
    """The stores, and the applications by path that serve those which are folders of the console itself."""

    stores: Stores
    mounts: Mapping[str, ASGIApp]


def read_sites(sites: Sequence[str], secrets: Sequence[str], settings: Sequence[str]) -> tuple[SiteOption, ...]:
    """The sites of the command's options, by default one named ``local``.

    Raises:
        UsageError: an option is not of its form, or names a site that there is not.
    """
    found = {}
    for text in sites:
        name, _, url = text.partition("=")
        if not name or name in found:
            raise UsageError(f"--site '{text}' names no site, or one twice", hint="write NAME=STORE_URL")
        # It becomes a folder's name and a part of addresses, and workers say it.
        if re.fullmatch(ID, name) is None:
            raise UsageError(f"--site '{text}': '{name}' is no name of a site", hint="use small letters, digits and hyphens")
        if name == BACKUP:
            raise UsageError(f"--site '{text}': the console calls a store of its own so", hint="name the site otherwise")
        found[name] = SiteOption(name, url or None)
    if not found:
        found["local"] = SiteOption("local")
    for text in secrets:
        name, equals, path = text.partition("=")
        if not equals or name not in found:
            raise UsageError(f"--store-secret '{text}' fits no --site", hint="write NAME=FILE")
        found[name] = replace(found[name], secret_file=Path(path))
    for text in settings:
        place, equals, value = text.partition("=")
        name, dot, key = place.partition(".")
        if not equals or not dot or name not in found:
            raise UsageError(f"--store-setting '{text}' fits no --site", hint="write NAME.KEY=VALUE")
        found[name] = replace(found[name], settings={**found[name].settings, key: value})
    return tuple(found.values())


def open_stores(directory: Path, sites: Sequence[SiteOption], public_url: str, secret: str) -> StoreSet:
    """Each site's store, and a backup folder where there are fewer than three.

    Raises:
        ConfigError: a store's URL, settings or secret are no good.
        StoreError: a folder cannot be made.
    """
    # A key of its own for each use of the secret.
    signing = hashlib.sha256(f"objects {secret}".encode()).digest()
    stores: dict[str, Store] = {}
    mounts: dict[str, ASGIApp] = {}
    names = [site.name for site in sites]
    # Published means: in two stores. With one of two sites gone only the backup can be the second.
    options = list(sites) if len(sites) > 2 else [*sites, SiteOption(BACKUP)]
    for option in options:
        if option.url is not None:
            stores[option.name] = open_store(StoreConfig(option.name, option.url, option.secret_file, option.settings))
            continue
        path = f"/objects/{option.name}"
        served = ServedFolder(option.name, directory / "stores" / option.name, public_url.rstrip("/") + path, signing)
        stores[option.name] = served
        mounts[path] = served.app()
    return StoreSet(Stores(stores, names[0], BACKUP if BACKUP in stores else None), mounts)


def furnish(directory: Path, ledger: Ledger, sites: Sequence[SiteOption], release: str) -> dict[str, Path]:
    """Make the sites known, name the stable release where there is none, and write each site's enrolment credential, mode 0600.

    Returns:
        The credential's file by site. One that is there already stays good and is kept.

    Raises:
        StorageError: a file cannot be written.
    """
    known = {row.name: row for row in ledger.dispatcher.sites()}
    for site in sites:
        record = SiteRecord(site.name, cloud="local", region="local", store=site.name)
        if site.name not in known or known[site.name].store != site.name:
            ledger.dispatcher.put_site(record)
    ledger.releases.set_stable(APPLICATION, release, [site.name for site in sites])
    folder = directory / "enrolment"
    files = {}
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for site in sites:
            files[site.name] = folder / site.name
            if not files[site.name].exists():
                write_private(files[site.name], ledger.access.put_enrolment(site.name) + "\n")
    except OSError as error:
        raise StorageError(f"cannot write a site's credential: {error.strerror}", where=str(folder)) from None
    return files


def admin_token_file(directory: Path, ledger: Ledger, team: str) -> Path:
    """A file, mode 0600, with a token for this machine's own command line; made where it is not there.

    Raises:
        StorageError: it cannot be written.
    """
    path = directory / "token"
    try:
        if not path.exists():
            _, text = ledger.access.create_token(team, "command line of this machine", Role.ADMIN, "lorafleet serve")
            write_private(path, text + "\n")
    except OSError as error:
        raise StorageError(f"cannot write the token: {error.strerror}", where=str(path)) from None
    return path


def embedded_settings(directory: Path, host: str, port: int, public_url: str | None) -> Settings:
    """Settings of a console that keeps everything below ``directory``.

    Raises:
        StorageError: the directory cannot be used.
    """
    secret = load_secret(directory)
    url = public_url or http_url(host, port)
    database = f"sqlite:///{(directory / 'console.sqlite').absolute()}"
    previous = os.environ.get(PREVIOUS_SECRET_VARIABLE)
    return Settings(
        database_url=database, secret=secret, previous_secret=previous, directory=directory, host=host, port=port, public_url=url
    )
