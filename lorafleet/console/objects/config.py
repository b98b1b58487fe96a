"""What a store is called, where it is, and where its secret lies; and opening it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lorafleet.console.objects.secret_files import load_secret, read_private
from lorafleet.console.objects.store import Store
from lorafleet.contracts.layout import ID, checked_key
from lorafleet.contracts.problems import ConfigError

_FORMS = "use file:///folder, http://127.0.0.1:port, https://host, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
_HIDDEN_SETTINGS = re.compile(r"secret|password|token|account_key|sas|private_key", re.IGNORECASE)


@dataclass(frozen=True)
class StoreConfig:
    """One store.

    ``secret_file`` holds the folder server's secret; for a bucket it is a JSON object of obstore's settings with the keys, where
    the machine's own identity or environment is not meant. ``settings`` are those that are no secrets, such as ``endpoint`` and
    ``region``.
    """

    name: str
    url: str
    secret_file: Path | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


def open_store(config: StoreConfig) -> Store:
    """The store of a configuration. Nothing is asked of it yet, but that a folder is made.

    Raises:
        ConfigError: name, URL, settings or secret file are no good.
        StoreError: the folder cannot be made.
    """
    name, parts = config.name, urlsplit(config.url)
    if re.fullmatch(ID, name) is None:
        raise ConfigError(f"{name!r} is no name of a store", hint="use small letters, digits and hyphens")
    if parts.username is not None or parts.query or parts.fragment:
        # Not repeated: it may be a password.
        raise ConfigError("credentials and queries do not belong into a store's URL", where=name, hint="use secret_file")
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path not in ("", "/"):
        return _folder(name, parts.path)
    if parts.scheme in ("http", "https") and parts.netloc:
        return _http_folder(config)
    if parts.scheme in ("s3", "gs", "az") and parts.netloc:
        return _bucket(config, parts.scheme, parts.netloc, parts.path.strip("/"))
    raise ConfigError(f"{config.url!r} is no store", where=name, hint=_FORMS)


def _folder(name: str, path: str) -> Store:
    from lorafleet.console.objects.folder import FolderStore

    return FolderStore(name, Path(unquote(path)))


def _http_folder(config: StoreConfig) -> Store:
    from lorafleet.console.objects.http_folder import HttpFolderStore

    if config.secret_file is None:
        raise ConfigError("a folder server needs its secret", where=config.name, hint="name its file as secret_file")
    return HttpFolderStore(config.name, config.url, load_secret(config.secret_file))


def _bucket(config: StoreConfig, scheme: str, bucket: str, prefix: str) -> Store:
    from lorafleet.console.objects.bucket import BucketStore
    from lorafleet.console.objects.http_folder import is_loopback

    for key in config.settings:
        if _HIDDEN_SETTINGS.search(key):
            raise ConfigError(
                f"'{key}' is a secret and does not belong into the settings", where=config.name, hint="use secret_file"
            )
    if prefix:
        checked_key(prefix)
    settings = {**config.settings, **_secret_settings(config)}
    endpoint = urlsplit(settings.get("endpoint", ""))
    if endpoint.scheme == "http" and not is_loopback(endpoint.hostname or ""):
        raise ConfigError(
            "the endpoint is plain http on another machine, which would show keys and data", where=config.name, hint="use https"
        )
    return BucketStore(config.name, scheme, bucket, prefix, settings, allow_http=endpoint.scheme == "http")


def _secret_settings(config: StoreConfig) -> dict[str, str]:
    if config.secret_file is None:
        return {}
    try:
        found = json.loads(read_private(config.secret_file))
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ConfigError("the secret file is no JSON object of texts", where=str(config.secret_file))
    return found
