"""Moving one object by a grant: to and from folders and anything that takes presigned requests. Bytes are proven by SHA-256."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

import requests

from lorafleet.contracts.jobs import ObjectGrant, PublishedObject
from lorafleet.contracts.problems import StorageError
from lorafleet.whole_files import replacing
from trainer.worker.wire import Bearer, open_session

GoOn = Callable[[], None]
"""Raises :class:`Abandoned` when nothing more may be moved."""

_CHUNK = 1 << 20
_CONNECT_SECONDS = 5.0
# Between two chunks, not for the whole object.
_SILENCE_SECONDS = 30.0
_PRESENT = frozenset({requests.codes.conflict, requests.codes.precondition_failed})
_NO_CREDENTIALS = Bearer(None)
_SESSIONS = threading.local()


class Abandoned(Exception):
    """Told to move nothing more."""


class TransferFailed(StorageError):
    """A store did not give or take an object. The message names the store and never the URL, which is a secret."""


def get(grant: ObjectGrant, wanted: PublishedObject, target: Path, go_on: GoOn) -> None:
    """Bring an object; ``target`` appears whole and proven, or not at all.

    Raises:
        TransferFailed: the store does not give it, or gives other bytes.
        StorageError: the local disk refused.
        Abandoned: by ``go_on``.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target, durable=False) as part:
            with part.open("wb") as file:
                size, digest = _pour(_source(grant, wanted), file, go_on)
            if (size, digest) != (wanted.size, wanted.sha256):
                raise TransferFailed(f"{wanted.key} is damaged: {size} bytes and another SHA-256", where=grant.store)
    except OSError as error:
        raise _disk(error, target) from None


def put(grant: ObjectGrant, source: Path, size: int, go_on: GoOn) -> None:
    """Write a local file to a store. An object that is there already is left alone: keys are never written with other bytes.

    Raises:
        TransferFailed: the store does not take it.
        StorageError: the local file cannot be read.
        Abandoned: by ``go_on``.
    """
    try:
        with source.open("rb") as file:
            folder_path = _local(grant)
            if folder_path is not None:
                _put_in_folder(grant, folder_path, file, size, go_on)
            else:
                _put_by_http(grant, file, size, go_on)
    except FileNotFoundError:
        # Pruned by the trainer while this was under way: a newer checkpoint takes its place.
        raise Abandoned from None
    except OSError as error:
        raise _disk(error, source) from None


def _source(grant: ObjectGrant, wanted: PublishedObject) -> Iterator[bytes]:
    path = _local(grant)
    if path is not None:
        try:
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    yield chunk
        except OSError as error:
            raise TransferFailed(f"{wanted.key} cannot be read: {error.strerror}", where=grant.store) from None
        return
    try:
        url = grant.url.get_secret_value()
        with _session(url).get(
            url,
            headers=grant.headers,
            auth=_NO_CREDENTIALS,
            stream=True,
            timeout=(_CONNECT_SECONDS, _SILENCE_SECONDS),
            allow_redirects=False,
        ) as answer:
            if answer.status_code != requests.codes.ok:
                raise TransferFailed(f"{wanted.key} is not given ({answer.status_code})", where=grant.store)
            yield from answer.iter_content(_CHUNK)
    except requests.RequestException as error:
        raise TransferFailed(f"{wanted.key} cannot be read: {_reason(error)}", where=grant.store) from None


def _pour(source: Iterator[bytes], file: IO[bytes], go_on: GoOn) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    for chunk in source:
        go_on()
        digest.update(chunk)
        file.write(chunk)
        size += len(chunk)
    return size, digest.hexdigest()


def _put_in_folder(grant: ObjectGrant, target: Path, file: IO[bytes], size: int, go_on: GoOn) -> None:
    try:
        if target.is_file() and target.stat().st_size == size:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as part, part.open("wb") as copy:
            while chunk := file.read(_CHUNK):
                go_on()
                copy.write(chunk)
    except OSError as error:
        raise TransferFailed(f"{grant.key} is not taken: {error.strerror}", where=grant.store) from None


def _put_by_http(grant: ObjectGrant, file: IO[bytes], size: int, go_on: GoOn) -> None:
    try:
        url = grant.url.get_secret_value()
        answer = _session(url).put(
            url,
            # requests would send a generator in chunks without a length, which S3 refuses, and an empty file likewise.
            data=_Watched(file, size, go_on) if size else b"",
            headers={**grant.headers, "Content-Length": str(size)},
            auth=_NO_CREDENTIALS,
            timeout=(_CONNECT_SECONDS, _SILENCE_SECONDS),
            allow_redirects=False,
        )
    except requests.RequestException as error:
        raise TransferFailed(f"{grant.key} is not taken: {_reason(error)}", where=grant.store) from None
    if answer.status_code not in _PRESENT and not requests.codes.ok <= answer.status_code < requests.codes.multiple_choices:
        raise TransferFailed(f"{grant.key} is not taken ({answer.status_code})", where=grant.store)


def _session(url: str) -> requests.Session:
    # One a thread and host, so that many small files share a connection.
    sessions: dict[str, requests.Session] = _SESSIONS.__dict__
    host = urlsplit(url).netloc
    if host not in sessions:
        sessions[host] = open_session(url)
    return sessions[host]


class _Watched:
    """A file of a known length whose every read may be abandoned."""

    def __init__(self, file: IO[bytes], size: int, go_on: GoOn) -> None:
        self._file = file
        self._size = size
        self._go_on = go_on

    def __len__(self) -> int:
        return self._size

    def read(self, count: int = -1) -> bytes:
        """See ``io.RawIOBase``."""
        self._go_on()
        return self._file.read(count)


def _local(grant: ObjectGrant) -> Path | None:
    parts = urlsplit(grant.url.get_secret_value())
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return "it fell silent"
    return "the connection failed" if isinstance(error, requests.ConnectionError) else type(error).__name__


def _disk(error: OSError, path: Path) -> StorageError:
    return StorageError(f"the disk refused: {(error.strerror or str(error)).lower()}", where=str(path), hint="free some space")
