"""Speaking to one registry: authentication, redirects, time limits, and trying again."""

import json
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Protocol
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter

from lorafleet import __version__
from lorafleet.registry.challenge import Challenge, parse_challenge
from lorafleet.registry.credentials import Credentials, Login
from lorafleet.registry.errors import Failed, NotHeld, Refused, RegistryError, Unreachable

_LOOPBACK = re.compile(r"(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_MOST_REDIRECTS = 5
_TOKEN_BYTES = 1 << 20
_ERROR_BYTES = 64 << 10
_CONNECTIONS = 16
# The specification's lifetime of a token that names none, and what is left unused of each.
_TOKEN_SECONDS, _TOKEN_MARGIN = 60.0, 10.0


class Sendable(Protocol):
    """A file, or a part of one, that requests sends with its length in front."""

    def __len__(self) -> int: ...

    def read(self, count: int = -1) -> bytes:
        """The next bytes."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


Body = bytes | Callable[[], Sendable] | None
"""What is sent: bytes, or what opens a file anew for each attempt."""


@dataclass(frozen=True)
class Patience:
    """Limits in seconds: to connect, and for each silence while reading. ``attempts`` in all, with growing pauses between."""

    connect: float = 10.0
    silence: float = 60.0
    attempts: int = 5
    first_pause: float = 0.5
    longest_pause: float = 15.0

    def pause(self, attempt: int, asked: float = 0.0) -> float:
        """How long to wait after the attempt (from 0); ``asked`` is what the registry asked for."""
        grown = min(self.first_pause * 2.0**attempt, self.longest_pause)
        return min(max(grown * random.uniform(0.5, 1.0), asked), self.longest_pause)


@dataclass(frozen=True)
class Scope:
    """What is done in a repository: ``pull`` or ``pull,push``. ``mount_from`` is read from too."""

    repository: str
    actions: str = "pull"
    mount_from: str = ""

    @property
    def texts(self) -> list[str]:
        """As the token's scheme writes them."""
        more = [f"repository:{self.mount_from}:pull"] if self.mount_from else []
        return [f"repository:{self.repository}:{self.actions}", *more]


class Transport:
    """One registry, by https, or by http where it is this machine's own loopback. Safe to use from several threads."""

    def __init__(self, host: str, credentials: Credentials, patience: Patience) -> None:
        self.host = host
        self.patience = patience
        self._credentials = credentials
        self._loopback = _LOOPBACK.fullmatch(host) is not None
        self.base = f"{'http' if self._loopback else 'https'}://{'registry-1.docker.io' if host == 'docker.io' else host}"
        self._session = _session(self._loopback)
        self._lock = threading.Lock()
        self._challenge: Challenge | None = None
        self._granted: dict[Scope, tuple[str, float]] = {}

    def wait(self, attempt: int) -> None:
        """Pause before the next attempt of something that takes several requests."""
        time.sleep(self.patience.pause(attempt))

    def request(
        self,
        method: str,
        path: str,
        scope: Scope,
        where: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body = None,
        expect: tuple[int, ...] = (200,),
        again: bool = True,
    ) -> requests.Response:
        """Ask, and ask again where the registry is busy, fails or drops the connection. The answer's body is not read yet.

        ``path`` may be an address that the registry gave. ``again`` is False for what cannot simply be said twice.

        Raises:
            Unreachable: no answer.
            Refused: its credentials are missing, wrong or too weak.
            NotHeld: a 404 that is not expected.
            Failed: any other answer that is not expected, or its address is none.
        """
        attempts = self.patience.attempts if again else 1
        for attempt in range(attempts):
            last = attempt == attempts - 1
            try:
                answer = self._ask(method, path, scope, where, dict(headers or {}), body)
            except ValueError as error:
                # Requests' own, and its libraries', for what no second try would mend.
                what = f"cannot be asked: its name, or an address that it gives, is not valid ({type(error).__name__})"
                raise Failed(what, where=where, hint="look at the registry's name") from None
            except (requests.RequestException, OSError) as error:
                if last:
                    raise Unreachable(_why(error), where=where, hint=_hint(error)) from None
                self.wait(attempt)
                continue
            if answer.status_code in expect:
                return answer
            if answer.status_code in _AGAIN and not last:
                asked = answer.headers.get("Retry-After", "")
                answer.close()
                time.sleep(self.patience.pause(attempt, float(asked) if asked.isdecimal() else 0.0))
                continue
            raise _refusal(answer, where)
        raise AssertionError("the last attempt returns or raises")

    def trusts(self, url: str) -> bool:
        """Whether what a registry points to may be asked: https, or loopback where it is on loopback itself."""
        parts = urlsplit(url)
        return parts.scheme == "https" or (
            parts.scheme == "http" and self._loopback and _LOOPBACK.fullmatch(parts.netloc) is not None
        )

    def _ask(self, method: str, path: str, scope: Scope, where: str, headers: dict[str, str], body: Body) -> requests.Response:
        url = urljoin(self.base, path)
        answer = self._send(method, url, scope, where, headers, body)
        if answer.status_code == 401:
            challenge = parse_challenge(answer.headers.get("WWW-Authenticate", ""))
            if challenge is not None and self._is_own(url):
                with self._lock:
                    self._challenge = challenge
                    self._granted.pop(scope, None)
                answer.close()
                answer = self._send(method, url, scope, where, headers, body)
        for _ in range(_MOST_REDIRECTS):
            if answer.status_code not in _REDIRECTS or method not in ("GET", "HEAD"):
                return answer
            url = urljoin(url, answer.headers.get("Location", ""))
            answer.close()
            answer = self._send(method, url, scope, where, headers, None)
        raise Failed("it redirects without end", where=where)

    def _send(self, method: str, url: str, scope: Scope, where: str, headers: dict[str, str], body: Body) -> requests.Response:
        if not self.trusts(url):
            parts = urlsplit(url)
            # A user may stand before the host, with a password.
            place = f"{parts.scheme or 'no'}://{parts.netloc.rpartition('@')[2]}"
            raise Refused(f"it points to {place}, which is not https", where=where)
        own = dict(headers)
        # A blob's redirect leads to a bucket, which must never see the registry's credentials.
        authorization = self._authorization(scope, where) if self._is_own(url) else None
        if authorization:
            own["Authorization"] = authorization
        data = body() if callable(body) else body
        limits = (self.patience.connect, self.patience.silence)
        try:
            answer = self._session.request(method, url, headers=own, data=data, stream=True, allow_redirects=False, timeout=limits)
        finally:
            if callable(body) and data is not None and not isinstance(data, bytes):
                data.close()
        if method == "HEAD" or answer.headers.get("Content-Length") == "0":
            # Only a connection that was read to the end is used again.
            _ = answer.content
        return answer

    def _is_own(self, url: str) -> bool:
        return urlsplit(url)[:2] == urlsplit(self.base)[:2]

    def _authorization(self, scope: Scope, where: str) -> str | None:
        with self._lock:
            challenge = self._challenge
            if challenge is None:
                return None
            granted = self._granted.get(scope)
            if granted is not None and granted[1] > time.monotonic():
                return granted[0]
            login = self._credentials.login(self.host, scope.repository)
            if challenge.scheme == "basic":
                granted = (login.basic, time.monotonic() + _TOKEN_SECONDS) if login else None
            else:
                granted = self._token(challenge, login, scope, where)
            if granted is not None:
                self._granted[scope] = granted
            return granted[0] if granted else None

    def _token(self, challenge: Challenge, login: Login | None, scope: Scope, where: str) -> tuple[str, float]:
        """An access token; ``az acr login``'s identity tokens by OAuth 2, all others by the distribution's token scheme."""
        if not self.trusts(challenge.realm):
            raise Refused("it wants credentials at an address without https", where=where)
        limits = (self.patience.connect, self.patience.silence)
        options: dict[str, Any] = {"timeout": limits, "allow_redirects": False, "stream": True}
        if login is not None and login.identity_token:
            form = {"grant_type": "refresh_token", "service": challenge.service, "refresh_token": login.identity_token}
            form |= {"client_id": "lorafleet", "scope": " ".join(scope.texts)}
            answer = self._session.post(challenge.realm, data=form, **options)
        else:
            query = [("service", challenge.service)] if challenge.service else []
            query += [("scope", text) for text in scope.texts]
            headers = {"Authorization": login.basic} if login else {}
            answer = self._session.get(challenge.realm, params=query, headers=headers, **options)
        with answer:
            if answer.status_code in _AGAIN:
                raise requests.ConnectionError(f"its token service answers {answer.status_code}")
            if answer.status_code != 200:
                raise Refused(f"its token service answers {answer.status_code}", where=where, hint=_LOG_IN)
            try:
                values = json.loads(read_at_most(answer, _TOKEN_BYTES))
                token = values.get("token") or values.get("access_token")
                seconds = float(values.get("expires_in") or _TOKEN_SECONDS)
            except (ValueError, TypeError, AttributeError, RecursionError):
                token, seconds = None, 0.0
        if not isinstance(token, str) or not token:
            raise Refused("its token service gives no token", where=where, hint=_LOG_IN)
        return f"Bearer {token}", time.monotonic() + max(seconds - _TOKEN_MARGIN, 0.0)


_LOG_IN = "log in to it with docker login, podman login or its cloud's helper, or name a file of credentials"


def read_at_most(answer: requests.Response, most: int) -> bytes:
    """The answer's body.

    Raises:
        ValueError: it is longer.
    """
    found = bytearray()
    for block in answer.iter_content(64 << 10):
        found += block
        if len(found) > most:
            raise ValueError(f"the answer is longer than {most} bytes")
    return bytes(found)


class _OurOwnOnly(requests.auth.AuthBase):
    """Keeps requests from reading ~/.netrc, whose passwords are meant for others."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


def _session(loopback: bool) -> requests.Session:
    session = requests.Session()
    # Proxies and the bundle of certificates of the environment hold, but no proxy stands before loopback.
    session.trust_env = not loopback
    session.auth = _OurOwnOnly()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers.update({"User-Agent": f"lorafleet/{__version__}", "Accept-Encoding": "identity"})
    adapter = HTTPAdapter(pool_connections=4, pool_maxsize=_CONNECTIONS)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _refusal(answer: requests.Response, where: str) -> RegistryError:
    status = answer.status_code
    code, said = _error(answer)
    if status in (401, 403):
        words = "refuses without credentials that it knows" if status == 401 else "refuses: these credentials lack the right"
        return Refused(words, where=where, hint=_LOG_IN if status == 401 else "give the account the right to pull or push there")
    if status == 404:
        unknown = code == "NAME_UNKNOWN"
        return NotHeld("there is no such repository" if unknown else "does not hold it", where=where)
    hint = ""
    if status in (500, 507) or "no space left" in said:
        hint = "look at the registry's disk and log; run the same again, it goes on where it ended"
    elif status == 413:
        hint = "it, or a proxy before it, takes less at once: lorafleet image mirror --part MIB"
    failed = Failed(f"answers {status}{f': {said}' if said else ''}", where=where, hint=hint)
    failed.status = status
    return failed


def _error(answer: requests.Response) -> tuple[str, str]:
    """Code and message of the first of the specification's ``errors``."""
    try:
        with answer:
            first = json.loads(read_at_most(answer, _ERROR_BYTES))["errors"][0]
        code, message = str(first.get("code") or ""), str(first.get("message") or "")
        detail = json.dumps(first["detail"]) if "no space left" in json.dumps(first.get("detail")) else ""
        return code, " ".join(f"{code} {message} {'no space left on its device' if detail else ''}".split())[:300]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, requests.RequestException):
        return "", ""


def _why(error: Exception) -> str:
    text = str(error)
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted"
    if isinstance(error, requests.ConnectTimeout | requests.ReadTimeout):
        return f"does not answer in time ({type(error).__name__})"
    if "NameResolutionError" in text:
        return "there is no registry of this name"
    if "refused" in text:
        return "does not answer: the connection is refused"
    if "token service" in text:
        return text
    return f"the connection was dropped ({type(error).__name__})"


def _hint(error: Exception) -> str:
    if isinstance(error, requests.exceptions.SSLError):
        return "set REQUESTS_CA_BUNDLE to the certificate of who signed it"
    if "NameResolutionError" in str(error):
        return "look at the registry's name and this machine's network"
    return "run the same again once it is back"
