"""A folder that another process serves, see :mod:`.folder_server`: every request carries a URL that is signed for it alone."""

import ipaddress
import json
import logging
import time
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256 as sha256_of
from typing import BinaryIO
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from lorafleet.console.objects.errors import ObjectDamaged, ObjectMissing, StoreError, StoreFull, StoreUnreachable
from lorafleet.console.objects.signing import Permit, signed_url
from lorafleet.console.objects.store import BLOCK, ObjectFacts, checked_blocks, checked_prefix, read_limited
from lorafleet.contracts.jobs import Method, ObjectGrant
from lorafleet.contracts.layout import checked_key
from lorafleet.contracts.problems import ConfigError

# At its usual level httpx writes every URL to the log, and here URLs are secrets.
logging.getLogger("httpx").setLevel(logging.WARNING)

_CONNECT_SECONDS = 1.5
_PROBE_SECONDS = 10.0
_SILENCE_SECONDS = 60.0
# Reading back several GB takes its time.
_DIGEST_SECONDS = 600.0
_OWN_LIFETIME = timedelta(minutes=10)


class HttpFolderStore:
    """The objects behind a folder server at ``url``; ``secret`` is the one it was started with.

    Raises:
        ConfigError: the address is neither https nor http on loopback.
    """

    def __init__(self, name: str, url: str, secret: bytes, clock: Callable[[], float] = time.time) -> None:
        parts = urlsplit(url)
        loopback = is_loopback(parts.hostname or "")
        if parts.scheme != "https" and not (parts.scheme == "http" and loopback):
            raise ConfigError("a folder server is reached by https, or by http on this machine", where=name)
        self.name = name
        self._base = url.rstrip("/")
        self._secret = secret
        self._clock = clock
        # A proxy of the environment is for other machines.
        self._client = httpx.Client(
            timeout=httpx.Timeout(_SILENCE_SECONDS, connect=_CONNECT_SECONDS), trust_env=not loopback, follow_redirects=False
        )

    def probe(self) -> None:
        """See Store."""
        with self._speaking(""):
            self._refuse(self._client.get(f"{self._base}/health", timeout=_PROBE_SECONDS), "")

    def head(self, key: str) -> ObjectFacts | None:
        """See Store."""
        with self._speaking(key):
            answer = self._client.head(self._url("HEAD", key))
            if answer.status_code == 404:
                return None
            self._refuse(answer, key)
            return ObjectFacts(key, int(answer.headers["content-length"]))

    def digest(self, key: str) -> str | None:
        """See Store. The server reads the file; its bytes stay there."""
        with self._speaking(key):
            patience = httpx.Timeout(_DIGEST_SECONDS, connect=_CONNECT_SECONDS)
            answer = self._client.head(self._url("HEAD", key), headers={"want-repr-digest": "sha-256=1"}, timeout=patience)
            if answer.status_code == 404:
                return None
            self._refuse(answer, key)
            return b64decode(answer.headers["repr-digest"].removeprefix("sha-256=:").removesuffix(":")).hex()

    def read(self, key: str, start: int = 0) -> Iterator[bytes]:
        """See Store."""
        headers = {"range": f"bytes={start}-"} if start else {}
        with self._speaking(key), self._client.stream("GET", self._url("GET", key), headers=headers) as answer:
            if answer.status_code == 416:
                return
            self._refuse(answer, key)
            # A body that ends early is an httpx.RemoteProtocolError: the length was announced.
            yield from answer.iter_raw(BLOCK)

    def read_bytes(self, key: str, limit: int) -> bytes:
        """See Store."""
        return read_limited(self.read(key), limit, self._where(key))

    def write(self, key: str, source: BinaryIO | bytes, sha256: str) -> None:
        """See Store."""
        with self._speaking(key):
            url = self._url("PUT", key, sha256=sha256)
            self._refuse(self._client.put(url, content=checked_blocks(source, sha256, self._where(key))), key)

    def create(self, key: str, data: bytes) -> bool:
        """See Store."""
        with self._speaking(key):
            url = self._url("PUT", key, size=len(data), sha256=sha256_of(data).hexdigest())
            answer = self._client.put(url, content=data, headers={"if-none-match": "*"})
            if answer.status_code == 412:
                return False
            self._refuse(answer, key)
            return True

    def delete(self, key: str) -> None:
        """See Store."""
        with self._speaking(key):
            self._refuse(self._client.delete(self._url("DELETE", key)), key)

    def list(self, prefix: str) -> Iterator[ObjectFacts]:
        """See Store."""
        url = signed_url(self._base, Permit("LIST", checked_prefix(prefix), self._expires(_OWN_LIFETIME)), self._secret)
        with self._speaking(prefix), self._client.stream("GET", url) as answer:
            self._refuse(answer, prefix)
            for line in answer.iter_lines():
                found = json.loads(line)
                yield ObjectFacts(found["key"], found["size"])

    def grant(
        self, key: str, method: Method, *, lifetime: timedelta, size: int | None = None, sha256: str | None = None
    ) -> ObjectGrant:
        """See Store. Size and SHA-256 are part of the URL, and the server holds the writer to them."""
        expires = self._expires(lifetime)
        permit = Permit(method.value, checked_key(key), expires, size, sha256)
        url = SecretStr(signed_url(self._base, permit, self._secret))
        return ObjectGrant(key=key, method=method, store=self.name, url=url, expires_at=datetime.fromtimestamp(expires, UTC))

    def _url(self, method: str, key: str, *, size: int | None = None, sha256: str | None = None) -> str:
        return signed_url(self._base, Permit(method, checked_key(key), self._expires(_OWN_LIFETIME), size, sha256), self._secret)

    def _expires(self, lifetime: timedelta) -> int:
        return int(self._clock() + lifetime.total_seconds())

    def _refuse(self, answer: httpx.Response, key: str) -> None:
        where = self._where(key)
        match answer.status_code:
            case status if status < 400:
                return
            case 403:
                raise StoreError("the folder server refuses our signature", where=where, hint="both need the same secret and clock")
            case 404:
                raise ObjectMissing("there is no such object", where=where)
            case 413 | 422:
                raise ObjectDamaged("the bytes that arrived are not those that were announced", where=where, hint="send them again")
            case 507:
                raise StoreFull("the disk is full", where=where, hint="free some space there")
            case status:
                raise StoreError(f"the folder server refused ({status})", where=where)

    def _where(self, key: str) -> str:
        return f"{self.name}/{key}" if key else self.name

    @contextmanager
    def _speaking(self, key: str) -> Iterator[None]:
        try:
            yield
        except httpx.ConnectError:
            raise StoreUnreachable("nobody listens there", where=self._where(key), hint="start the folder server") from None
        except httpx.TransportError:
            raise StoreUnreachable("the connection broke off or fell silent", where=self._where(key)) from None
        except (KeyError, ValueError, Base64Error):
            raise StoreError("this is not a folder server's answer", where=self._where(key), hint="check the address") from None


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by name or number."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
