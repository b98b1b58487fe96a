"""Opening a bucket with what the environment says: AWS_*, GOOGLE_* and AZURE_* as the clouds' own tools name them."""

import ipaddress
import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from obstore.store import AzureStore, GCSStore, LocalStore, S3Store

from lorafleet.contracts.problems import ConfigError
from trainer.storage.locations import Location

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

_ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}


@dataclass(frozen=True)
class Patience:
    """How long a store is waited for, in seconds, and how often a request that broke off is repeated."""

    connect: float = 10.0
    # An upload counts as silence until its part is through: 60 s for 5 MiB is a line of 0.7 Mbit/s.
    silence: float = 60.0
    retries: int = 4
    retry_for: float = 90.0


def connect(location: Location, patience: Patience) -> "ObjectStore":
    """The store of a location, from its root: keys are those of the bucket. Nothing is asked of the server yet.

    Raises:
        ConfigError: the endpoint in the environment is plain http on another machine.
        obstore.exceptions.BaseError: the settings in the environment do not fit together.
    """
    if location.is_local:
        return LocalStore("/", automatic_cleanup=True)
    client: ClientConfig = {
        "connect_timeout": timedelta(seconds=patience.connect),
        "read_timeout": timedelta(seconds=patience.silence),
        # A large object may take its time as long as bytes come.
        "timeout": timedelta(days=1),
        "allow_http": _may_speak_http(location.scheme),
    }
    retry: RetryConfig = {
        "max_retries": patience.retries,
        "retry_timeout": timedelta(seconds=patience.retry_for),
        "backoff": {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=10), "base": 2},
    }
    if location.scheme == "s3":
        return S3Store(location.bucket, client_options=client, retry_config=retry)
    if location.scheme == "gs":
        return GCSStore(location.bucket, client_options=client, retry_config=retry)
    return AzureStore(location.bucket, client_options=client, retry_config=retry)


def _may_speak_http(scheme: str) -> bool:
    if scheme == "s3" and os.environ.get("AWS_ALLOW_HTTP", "").lower() == "true":
        return True
    for variable in _ENDPOINTS.get(scheme, ()):
        if endpoint := os.environ.get(variable):
            parts = urlsplit(endpoint)
            if parts.scheme != "http":
                return False
            if _is_this_machine(parts.hostname or ""):
                return True
            raise ConfigError(
                f"{variable} is plain http on another machine, which would show keys and data to the network",
                where=parts.hostname or "",
                hint="use https, or set AWS_ALLOW_HTTP=true for a network you trust" if scheme == "s3" else "use https",
            )
    return False


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
