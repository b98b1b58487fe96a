"""What every request passes before it reaches an address: Host, origin, rate and size; and what every answer carries."""

import hashlib
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import urlsplit

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lorafleet.console.api.problems import problem
from lorafleet.console.api.rate_limits import RateLimits
from lorafleet.console.settings import Settings
from lorafleet.contracts import paths
from lorafleet.contracts.jobs import MESSAGE_BYTES

OBJECTS = "/objects"
BODY_BYTES = 4 * 1024**2
CSP = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_GATES = 16
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_WORKERS = f"{paths.API}/worker/"
_UPLOADS = "/uploads"
# A 429 would end a stage of Orca at once and lose a worker's report, and both come by machines that hold to their own pace.
_UNLIMITED = (_WORKERS, f"{paths.RELEASES}/", OBJECTS, "/healthz", "/readyz", "/metrics")


class Defences:
    """ASGI middleware round the whole application."""

    def __init__(self, app: ASGIApp, settings: Settings, limits: RateLimits) -> None:
        self._app = app
        self._settings = settings
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        guarded = _with_headers(send, self._settings.https)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            status, detail, more = refusal
            await problem(status, detail, headers=more)(scope, receive, guarded)
            return
        await self._app(scope, self._limited(scope["path"], headers, receive), guarded)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str, dict[str, str]] | None:
        path = scope["path"]
        # Probes and KEDA's scraper come by the pod's address.
        if path not in ("/healthz", "/readyz", "/metrics") and _hostname(headers.get("host", "")) not in self._settings.hosts:
            return HTTPStatus.MISDIRECTED_REQUEST, "this console is not known by that name; add it to the allowed hosts", {}
        if not path.startswith(_UNLIMITED):
            wait = max(self._limits.take(caller) for caller in _callers(scope, headers))
            if wait:
                return HTTPStatus.TOO_MANY_REQUESTS, "too many requests", {"Retry-After": str(int(wait) + 1)}
        if scope["method"] not in _SAFE and not path.startswith((_WORKERS, OBJECTS)) and self._forged(headers):
            return HTTPStatus.FORBIDDEN, "this request comes from another site's page", {}
        limit = self._limit(path)
        length = headers.get("content-length", "0")
        if limit is not None and (not length.isdecimal() or int(length) > limit):
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {limit} bytes", {}
        return None

    def _forged(self, headers: Headers) -> bool:
        """Whether a browser may have been made to send this; a bearer token is never sent by itself."""
        if headers.get("authorization", "").lower().startswith("bearer "):
            return False
        if site := headers.get("sec-fetch-site"):
            return site not in ("same-origin", "none")
        if origin := headers.get("origin"):
            return urlsplit(origin).netloc not in {headers.get("host"), urlsplit(self._settings.public_url).netloc}
        # Browsers send one of the two with every unsafe request; what has neither, but a cookie, is none.
        return "cookie" in headers

    def _limit(self, path: str) -> int | None:
        if path.startswith(OBJECTS):
            return None
        if path.startswith(_WORKERS):
            return MESSAGE_BYTES
        return self._settings.upload_bytes if path.endswith(_UPLOADS) else BODY_BYTES

    def _limited(self, path: str, headers: Headers, receive: Receive) -> Receive:
        limit = self._limit(path)
        if limit is None:
            return receive
        read = 0

        async def counting() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {limit} bytes")
            return message

        return counting


def _with_headers(send: Send, https: bool) -> Callable[[Message], Awaitable[None]]:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.setdefault("Content-Security-Policy", CSP)
            headers.setdefault("Cache-Control", "no-store")
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = "same-origin"
            headers["Cross-Origin-Opener-Policy"] = "same-origin"
            headers["Cross-Origin-Resource-Policy"] = "same-origin"
            headers["X-Frame-Options"] = "DENY"
            if https:
                headers["Strict-Transport-Security"] = "max-age=31536000"
        await send(message)

    return sending


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _callers(scope: Scope, headers: Headers) -> list[str]:
    """Whom a request is counted for: what it brings, and one of :data:`_GATES` gates of its address.

    The gates let many people behind one address go on, and hold up whoever brings another invented token each time.
    """
    client = scope.get("client")
    address = client[0] if client else ""
    text = headers.get("authorization") or headers.get("cookie")
    if not text:
        return [address]
    digest = hashlib.sha256(text.encode()).hexdigest()
    return [digest, f"{address} {int(digest[:8], 16) % _GATES}"]
