"""JSON over HTTP as Gate and the console speak it: no redirects, time limits, reads tried again, and errors of one line."""

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import requests
from requests.auth import AuthBase

from lorafleet.contracts.outcomes import ExitCode
from lorafleet.contracts.problems import LorafleetError

_AGAIN = frozenset({429, 500, 502, 503, 504})
_LONGEST_TEXT = 300


class ServiceError(LorafleetError):
    """The service answered with an error; ``status`` is HTTP's, ``text`` what it said itself."""

    def __init__(self, what: str, *, hint: str = "", status: int = 0, text: str = "") -> None:
        super().__init__(what, hint=hint)
        self.status = status
        self.text = text


class Unreachable(ServiceError):
    """No answer came. ``sent`` tells whether the request may have arrived all the same."""

    exit_code = ExitCode.UNAVAILABLE

    def __init__(self, what: str, *, hint: str = "", sent: bool) -> None:
        super().__init__(what, hint=hint)
        self.sent = sent


class NotLoggedIn(ServiceError):
    """The service wants other credentials, or a person's login."""


class Forbidden(ServiceError):
    """The credentials are good, but not for this."""


class NotFound(ServiceError):
    """The service does not have it."""


class Unwell(ServiceError):
    """429 or 5xx: the service cannot answer now; what was asked for may have been done."""


@dataclass(frozen=True)
class Service:
    """Whom the errors speak of. ``address`` and ``login`` say where a person sets the address and the credentials."""

    name: str
    url: str
    address: str
    login: str


@dataclass(frozen=True)
class Pace:
    """Seconds, and how often a read is tried. Gate answers a save after at most 32 s, hence the limit for writes."""

    attempts: int = 4
    pause: float = 0.5
    longest_pause: float = 15.0
    connect_limit: float = 10.0
    read_limit: float = 30.0
    write_limit: float = 60.0
    poll: float = 1.0

    def before(self, attempt: int) -> float:
        """Seconds before the attempt with this number, counted from 0: doubled each time, with jitter of one half."""
        longest = min(self.longest_pause, self.pause * 2.0 ** (attempt - 1))
        return longest * random.uniform(0.5, 1.0)


class Rest:
    """One service. Threads may share it: each has a connection of its own."""

    def __init__(
        self,
        service: Service,
        headers: Mapping[str, str],
        certificate: tuple[str, str] | None = None,
        pace: Pace | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.service = service
        self.pace = pace or Pace()
        self.sleep = sleep
        self._auth = _Headers(headers)
        self._certificate = certificate
        self._mine = threading.local()

    def get(self, *path: str, query: Mapping[str, str] | None = None) -> Any:
        """Read JSON; tried again after 429, 5xx and broken connections. Parts of the path are encoded.

        Raises:
            ServiceError: see the subclasses.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._ask("GET", path, query, None, self.pace.read_limit)
            except (Unreachable, Unwell) as error:
                # A certificate that is not trusted stays so.
                if attempt >= self.pace.attempts or isinstance(error, _NotTrusted):
                    raise
                asked = error.wait if isinstance(error, _AskedToWait) else 0.0
                self.sleep(max(self.pace.before(attempt), min(asked, self.pace.longest_pause)))

    def send(self, method: str, *path: str, body: Any = None, query: Mapping[str, str] | None = None) -> Any:
        """Write once, never again: whether to is for the caller, who knows what it would do twice.

        Raises:
            ServiceError: see the subclasses; after :class:`Unwell` and :class:`Unreachable` it may have been done.
        """
        return self._ask(method, path, query, body, self.pace.write_limit)

    def _ask(self, method: str, path: tuple[str, ...], query: Mapping[str, str] | None, body: Any, limit: float) -> Any:
        url = "/".join((self.service.url.rstrip("/"), *(quote(part, safe="") for part in path)))
        try:
            response = self._session().request(
                method,
                url,
                params=query,
                json=body,
                timeout=(self.pace.connect_limit, limit),
                allow_redirects=False,
                headers={"Accept": "application/json"},
            )
        except OSError as error:
            # requests' own errors are OSErrors too; a bundle of authorities that is not there is a plain one.
            raise self._no_answer(error, limit) from None
        return self._read(response)

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._mine, "session", None)
        if session is None:
            session = requests.Session()
            session.auth = self._auth
            session.cert = self._certificate
            self._mine.session = session
        return session

    def _no_answer(self, error: OSError, limit: float) -> ServiceError:
        name, url = self.service.name, self.service.url
        if isinstance(error, requests.exceptions.SSLError):
            return _NotTrusted(
                f"no safe connection to {name} at {url}: {_reason(error)}",
                hint="REQUESTS_CA_BUNDLE names the certificate authority of your own",
                sent=False,
            )
        if isinstance(error, requests.exceptions.ProxyError):
            return Unreachable(
                f"{name} at {url} cannot be reached through the proxy: {_reason(error)}",
                hint="see HTTPS_PROXY and NO_PROXY",
                sent=False,
            )
        if isinstance(error, requests.ConnectTimeout):
            return Unreachable(
                f"{name} at {url} did not take a connection within {self.pace.connect_limit:g} s",
                hint=f"check {self.service.address}",
                sent=False,
            )
        if isinstance(error, requests.Timeout):
            return Unreachable(f"{name} at {url} did not answer within {limit:g} s", hint="try again later", sent=True)
        if isinstance(error, requests.ConnectionError):
            reason = _reason(error)
            return Unreachable(
                f"{name} at {url} cannot be reached: {reason}",
                hint=f"check {self.service.address}",
                sent=reason not in _BEFORE_SENDING,
            )
        return ServiceError(f"{name} at {url} cannot be asked: {_reason(error)}", hint=f"check {self.service.address}")

    def _read(self, response: requests.Response) -> Any:
        name, status = self.service.name, response.status_code
        text = said(response)
        if 300 <= status < 400:
            to = _host(response.headers.get("Location", ""))
            raise NotLoggedIn(
                f"{name} at {self.service.url} sends to a login page{to} instead of answering ({status})",
                hint=self.service.login,
                status=status,
            )
        if status == 401:
            wants = "does not accept the credentials" if self._auth.some or self._certificate else "wants credentials"
            raise NotLoggedIn(f"{name} {wants} (401){_colon(text)}", hint=self.service.login, status=status, text=text)
        if status == 403:
            raise Forbidden(
                f"{name} does not allow this (403){_colon(text)}",
                hint="the credentials need the right for it",
                status=status,
                text=text,
            )
        if status == 404:
            raise NotFound(
                f"{name} at {self.service.url} does not have this (404){_colon(text)}",
                hint=f"check {self.service.address}",
                status=status,
                text=text,
            )
        if status in _AGAIN:
            raise _AskedToWait(f"{name} cannot answer now ({status}){_colon(text)}", status, text, _wait(response))
        if status >= 400:
            raise ServiceError(f"{name} refuses this ({status}){_colon(text)}", status=status, text=text)
        if not response.content:
            return None
        if not _is_json(response):
            kind = response.headers.get("Content-Type", "no type").partition(";")[0]
            raise NotLoggedIn(
                f"{name} at {self.service.url} answers with a page ({kind}) instead of JSON: a login page, or not its API",
                hint=f"check {self.service.address}; {self.service.login}",
                status=status,
            )
        try:
            return response.json()
        except ValueError:
            raise ServiceError(f"{name} at {self.service.url} sent JSON that is cut off", hint="try again", status=status) from None


class _NotTrusted(Unreachable):
    pass


class _AskedToWait(Unwell):
    def __init__(self, what: str, status: int, text: str, wait: float) -> None:
        super().__init__(what, hint="try again later", status=status, text=text)
        self.wait = wait


class _Headers(AuthBase):
    # As an auth object, since requests lets a line in ~/.netrc replace an Authorization header that is only a header.
    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    @property
    def some(self) -> bool:
        return bool(self._headers)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._headers)
        return request


def said(response: requests.Response) -> str:
    """What an error says of itself, in one short line; nothing where it is no JSON."""
    if not _is_json(response):
        return ""
    try:
        value = response.json()
    except ValueError:
        return ""
    if isinstance(value, Mapping):
        found = next((value[key] for key in ("message", "detail", "error", "what") if isinstance(value.get(key), str)), "")
        return " ".join(str(found).split())[:_LONGEST_TEXT]
    return ""


def _is_json(response: requests.Response) -> bool:
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _colon(text: str) -> str:
    return f": {text}" if text else ""


def _host(location: str) -> str:
    host = location.partition("://")[2].partition("/")[0].rpartition("@")[2]
    return f" at {host}" if host else ""


def _wait(response: requests.Response) -> float:
    asked = response.headers.get("Retry-After", "")
    if asked.isdecimal():
        return float(asked)
    try:
        return max(0.0, parsedate_to_datetime(asked).timestamp() - time.time())
    except ValueError:
        return 0.0


_REFUSED = "connection refused"
_NO_SUCH_NAME = "there is no such host name"
_BEFORE_SENDING = (_REFUSED, _NO_SUCH_NAME)


def _reason(error: BaseException) -> str:
    # The library's own text is long and may hold a proxy's password; only the system's words for it are taken.
    text = str(error)
    if "NameResolutionError" in text or "getaddrinfo" in text:
        return _NO_SUCH_NAME
    if "Connection refused" in text or "Errno 111" in text:
        return _REFUSED
    for words, reason in _REASONS.items():
        if words in text:
            return reason
    return "the connection broke off"


_REASONS = {
    "Hostname mismatch": "its certificate is for another name",
    "self-signed certificate": "its certificate is not of an authority that is trusted here",
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not trusted here",
    "CERTIFICATE_REQUIRED": "it wants a client certificate",
    "certificate required": "it wants a client certificate",
    "WRONG_VERSION_NUMBER": "it does not speak TLS",
    "PEM lib": "the client certificate or its key is no PEM file, or they do not belong together",
    "KEY_VALUES_MISMATCH": "the client certificate and its key do not belong together",
    "CA certificate bundle": "the file that REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names is not there",
    "Network is unreachable": "the network is unreachable",
    "No route to host": "there is no route to the host",
}
