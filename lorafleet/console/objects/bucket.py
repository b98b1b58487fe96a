"""Buckets of S3, GCS, Azure Blob and S3-compatible servers, through obstore.

Their signed URLs cannot bind a content, so that what a worker wrote is proven by reading it back.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeAlias

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError
from obstore.store import AzureStore, GCSStore, S3Store
from pydantic import SecretStr

from lorafleet.console.objects.errors import ObjectMissing, StoreError, StoreUnreachable
from lorafleet.console.objects.store import BLOCK, ObjectFacts, checked_blocks, checked_prefix, read_digest, read_limited
from lorafleet.contracts.jobs import Method, ObjectGrant
from lorafleet.contracts.layout import checked_key
from lorafleet.contracts.problems import ConfigError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

_CONNECT = timedelta(seconds=1.5)
_PROBE = timedelta(seconds=10)
_SILENCE = timedelta(seconds=60)
_RETRY_FOR = timedelta(seconds=20)
_PART = 5 << 20
_PROBE_KEY = "probe"
# First match wins; the texts are reqwest's and the cloud's own, and are never repeated.
_UNREACHABLE = re.compile(
    r"kind: connect\b|connecterror|dns error|connection refused|timed ?out|connection reset|broken ?pipe|incompletemessage"
    r"|unexpectedeof|connection ?aborted|connection closed|status code: 5\d\d|kind: (body|timeout|request|interrupted)\b",
    re.IGNORECASE,
)
_NO_BUCKET = re.compile(r"NoSuchBucket|InvalidBucketName|ContainerNotFound|bucket does not exist", re.IGNORECASE)

_Bucket: TypeAlias = S3Store | GCSStore | AzureStore


class _Opener(Protocol):
    def __call__(self, client: "ClientConfig", retry: "RetryConfig") -> _Bucket: ...


class BucketStore:
    """The objects of ``scheme://bucket`` below ``prefix``. ``settings`` are obstore's configuration keys; the cloud's own
    environment variables fill in what they leave out.

    Raises:
        ConfigError: the settings do not fit together.
    """

    def __init__(
        self,
        name: str,
        scheme: str,
        bucket: str,
        prefix: str = "",
        settings: Mapping[str, str] | None = None,
        allow_http: bool = False,
    ) -> None:
        self.name = name
        self._scheme = scheme
        retry: RetryConfig = {
            "max_retries": 3,
            "retry_timeout": _RETRY_FOR,
            "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=3), "base": 2},
        }
        # A large object may take its time as long as bytes come.
        patient: ClientConfig = {"connect_timeout": _CONNECT, "read_timeout": _SILENCE, "timeout": timedelta(days=1)}
        hasty: ClientConfig = {"connect_timeout": _CONNECT, "read_timeout": _PROBE, "timeout": _PROBE}
        # S3 then refuses bytes that were damaged on the way.
        checksums = {"checksum_algorithm": "SHA256"} if scheme == "s3" else {}
        opener = _opener(scheme, bucket, prefix, {**checksums, **(settings or {})})
        try:
            self._store = opener({**patient, "allow_http": allow_http}, retry)
            self._prober = opener({**hasty, "allow_http": allow_http}, {"max_retries": 0, "retry_timeout": _PROBE})
        except (BaseError, ValueError, TypeError) as error:
            # Its text may hold the settings' values.
            raise ConfigError(f"the store's settings do not fit together ({type(error).__name__})", where=name) from None

    def probe(self) -> None:
        """See Store."""
        with self._speaking(""):
            try:
                obstore.head(self._prober, _PROBE_KEY)
            except (FileNotFoundError, NotFoundError) as error:
                if _NO_BUCKET.search(str(error)):
                    raise StoreError("there is no such bucket", where=self.name) from None

    def head(self, key: str) -> ObjectFacts | None:
        """See Store."""
        try:
            with self._speaking(key):
                return ObjectFacts(key, obstore.head(self._store, checked_key(key))["size"])
        except ObjectMissing:
            return None

    def digest(self, key: str) -> str | None:
        """See Store. All of the object's bytes come here for it."""
        return read_digest(self, key)

    def read(self, key: str, start: int = 0) -> Iterator[bytes]:
        """See Store."""
        with self._speaking(key):
            if start:
                if start >= obstore.head(self._store, checked_key(key))["size"]:
                    return
                answer = obstore.get(self._store, key, options={"range": {"offset": start}})
            else:
                answer = obstore.get(self._store, checked_key(key))
            for block in answer.stream(min_chunk_size=BLOCK):
                yield bytes(block)

    def read_bytes(self, key: str, limit: int) -> bytes:
        """See Store."""
        return read_limited(self.read(key), limit, self._where(key))

    def write(self, key: str, source: BinaryIO | bytes, sha256: str) -> None:
        """See Store."""
        with self._speaking(key):
            blocks = checked_blocks(source, sha256, self._where(checked_key(key)))
            first = bytearray()
            for block in blocks:
                first += block
                if len(first) > _PART:
                    break
            else:
                # Small objects in one request instead of three.
                obstore.put(self._store, key, bytes(first), use_multipart=False)
                return
            # A block that raises ends the upload before its last request, so that nothing becomes visible.
            obstore.put(self._store, key, chain([bytes(first)], blocks), chunk_size=_PART, max_concurrency=4)

    def create(self, key: str, data: bytes) -> bool:
        """See Store."""
        with self._speaking(key):
            try:
                obstore.put(self._store, checked_key(key), data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
        return True

    def delete(self, key: str) -> None:
        """See Store."""
        try:
            with self._speaking(key):
                obstore.delete(self._store, checked_key(key))
        except ObjectMissing:
            pass

    def list(self, prefix: str) -> Iterator[ObjectFacts]:
        """See Store."""
        with self._speaking(prefix):
            found = [
                ObjectFacts(meta["path"], meta["size"])
                for chunk in obstore.list(self._store, checked_prefix(prefix) or None, chunk_size=1000)
                for meta in chunk
            ]
        yield from sorted(found, key=lambda facts: facts.key)

    def grant(
        self, key: str, method: Method, *, lifetime: timedelta, size: int | None = None, sha256: str | None = None
    ) -> ObjectGrant:
        """See Store. The clouds' signed URLs bind key, method and time. GCS without a key file asks its IAM service to sign."""
        expires_at = datetime.now(UTC) + lifetime
        with self._speaking(key):
            url = obstore.sign(self._store, method.value, checked_key(key), lifetime)
        headers = {"x-ms-blob-type": "BlockBlob"} if self._scheme == "az" and method is Method.PUT else {}
        return ObjectGrant(key=key, method=method, store=self.name, url=SecretStr(url), headers=headers, expires_at=expires_at)

    def _where(self, key: str) -> str:
        return f"{self.name}/{key}" if key else self.name

    @contextmanager
    def _speaking(self, key: str) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError, ValueError, NotImplementedError) as error:
            raise _explained(error, self._where(key)) from None


def _opener(scheme: str, bucket: str, prefix: str, settings: Mapping[str, str]) -> _Opener:
    shared = {"prefix": prefix or None, "config": dict(settings) or None}

    def opened(client: "ClientConfig", retry: "RetryConfig") -> _Bucket:
        kind = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}[scheme]
        return kind(bucket, client_options=client, retry_config=retry, **shared)  # type: ignore[no-any-return]

    return opened


def _explained(error: Exception, where: str) -> StoreError:
    text = str(error)
    if _NO_BUCKET.search(text):
        return StoreError("there is no such bucket", where=where, hint="check its name, the region and the endpoint")
    if isinstance(error, FileNotFoundError | NotFoundError):
        return ObjectMissing("there is no such object", where=where)
    if _UNREACHABLE.search(text):
        return StoreUnreachable("the store does not answer", where=where, hint="check the endpoint and the network")
    if isinstance(error, PermissionDeniedError | UnauthenticatedError) or re.search(r"status code: 40[13]|AccessDenied", text):
        return StoreError("access denied", where=where, hint="check the store's credentials and what they may do")
    code = re.search(r"<Code>(\w{1,60})</Code>", text)
    return StoreError(f"the store refused ({code[1] if code else type(error).__name__})", where=where)
