"""Serves a folder as an object store over HTTP, to whoever holds a signed URL and to nobody else.

A PUT is streamed to the disk, counted, verified, and appears whole or not at all. URLs are secrets: no access log is kept.
"""

import json
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from lorafleet.console.listening import http_url, listen
from lorafleet.console.objects.byte_ranges import UnsatisfiableRangeError, read_range
from lorafleet.console.objects.errors import ObjectDamaged, ObjectMissing, StoreFull
from lorafleet.console.objects.folder import FolderStore
from lorafleet.console.objects.secret_files import load_secret
from lorafleet.console.objects.signing import BadSignatureError, Permit, read_permit
from lorafleet.contracts.problems import ConfigError, LorafleetError, UsageError

# What a browser gets must never run there, whatever it holds.
_DOWNLOAD_HEADERS = {
    "accept-ranges": "bytes",
    "cache-control": "private, no-store",
    "content-disposition": "attachment",
    "content-security-policy": "sandbox; default-src 'none'",
    "x-content-type-options": "nosniff",
}
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def folder_app(store: FolderStore, secret: bytes, clock: Callable[[], float] = time.time) -> ASGIApp:
    """The server as an ASGI application. ``clock`` gives Unix seconds."""

    def permit(request: Request, method: str, key: str) -> Permit:
        return read_permit(method, key, request.scope["query_string"].decode("latin-1"), secret, clock())

    async def one(request: Request) -> Response:
        key = request.path_params["key"]
        allowed = permit(request, request.method, key)
        if request.method == "PUT":
            return await _put(request, store, allowed)
        if request.method == "HEAD":
            return await anyio.to_thread.run_sync(_head, request, store, key)
        if request.method == "DELETE":
            await anyio.to_thread.run_sync(store.delete, key)
            return Response(status_code=204)
        return await anyio.to_thread.run_sync(_get, request, store, key)

    async def many(request: Request) -> Response:
        prefix = request.path_params["prefix"]
        permit(request, "LIST", prefix)
        found = await anyio.to_thread.run_sync(lambda: list(store.list(prefix)))
        lines = (json.dumps({"key": facts.key, "size": facts.size}) + "\n" for facts in found)
        return StreamingResponse(lines, media_type="application/jsonl")

    async def alive(_: Request) -> Response:
        await anyio.to_thread.run_sync(store.probe)
        return Response(status_code=204)

    async def refuse(_: Request, error: Exception) -> Response:
        return PlainTextResponse(f"{error}\n", status_code=_status(error))

    return Starlette(
        routes=[
            Route("/health", alive, methods=["GET"]),
            Route("/objects/{key:path}", one, methods=["GET", "HEAD", "PUT", "DELETE"]),
            Route("/list/{prefix:path}", many, methods=["GET"]),
        ],
        exception_handlers={LorafleetError: refuse, BadSignatureError: refuse, UnsatisfiableRangeError: refuse},
    )


def serve_folder(
    root: Path,
    port: int,
    secret_file: Path,
    host: str = "127.0.0.1",
    ready: Callable[[str], None] = lambda url: None,
    allow_remote: bool = False,
) -> None:
    """Serve until SIGTERM or Ctrl-C. Port 0 takes a free one; ``ready`` is told the address once it answers.

    Raises:
        UsageError: the address is not loopback, and ``allow_remote`` was not given.
        ConfigError: the secret file is missing, too short, or open to others.
        UnavailableError: the port is taken.
        StoreError: the folder cannot be used.
    """
    if host not in _LOOPBACK and not allow_remote:
        raise UsageError(
            f"{host} is not loopback, and this server speaks plain http",
            hint="put a TLS proxy in front of 127.0.0.1, or say --allow-remote for a network that you trust",
        )
    app = folder_app(FolderStore("folder", root), load_secret(secret_file))
    with listen(host, port) as listener:
        ready(http_url(host, listener.getsockname()[1]))
        config = uvicorn.Config(app, access_log=False, log_level="warning", lifespan="off", timeout_graceful_shutdown=5)
        uvicorn.Server(config).run(sockets=[listener])


def _status(error: Exception) -> int:
    if isinstance(error, BadSignatureError):
        return 403
    if isinstance(error, ObjectMissing):
        return 404
    if isinstance(error, UnsatisfiableRangeError):
        return 416
    if isinstance(error, ConfigError):
        return 400
    if isinstance(error, ObjectDamaged):
        return 422
    return 507 if isinstance(error, StoreFull) else 500


async def _put(request: Request, store: FolderStore, permit: Permit) -> Response:
    with store.incoming(permit.key) as part:
        try:
            async for block in request.stream():
                if permit.size is not None and part.size + len(block) > permit.size:
                    return PlainTextResponse(f"more than the {permit.size} bytes that were announced\n", status_code=413)
                part.write(block)
        except ClientDisconnect:
            return Response(status_code=400)
        if permit.size is not None and part.size != permit.size:
            return PlainTextResponse(f"{part.size} of the {permit.size} bytes that were announced\n", status_code=422)
        only_if_absent = request.headers.get("if-none-match") == "*"
        stored = await anyio.to_thread.run_sync(part.publish, permit.sha256, only_if_absent)
    return Response(status_code=201 if stored else 412)


def _head(request: Request, store: FolderStore, key: str) -> Response:
    facts = store.head(key)
    if facts is None:
        return Response(status_code=404)
    headers = {**_DOWNLOAD_HEADERS, "content-length": str(facts.size)}
    if "sha-256" in request.headers.get("want-repr-digest", ""):
        digest = store.digest(key)
        if digest is None:
            return Response(status_code=404)
        headers["repr-digest"] = f"sha-256=:{b64encode(bytes.fromhex(digest)).decode()}:"
    return Response(headers=headers, media_type="application/octet-stream")


def _get(request: Request, store: FolderStore, key: str) -> Response:
    facts = store.head(key)
    if facts is None:
        return Response(status_code=404)
    start, end = 0, facts.size
    headers = dict(_DOWNLOAD_HEADERS)
    span = read_range(request.headers.get("range"), facts.size)
    if span is not None:
        start, end = span
        headers["content-range"] = f"bytes {start}-{end - 1}/{facts.size}"
    headers["content-length"] = str(end - start)
    return StreamingResponse(
        _first(store.read(key, start), end - start),
        status_code=206 if span else 200,
        headers=headers,
        media_type="application/octet-stream",
    )


def _first(blocks: Iterator[bytes], count: int) -> Iterator[bytes]:
    for block in blocks:
        yield block[:count]
        count -= len(block)
        if count <= 0:
            return
