"""Messages to the console over HTTPS, and what its refusals mean to a worker."""

import threading
from typing import TypeVar
from urllib.parse import urlsplit

import requests
from pydantic import BaseModel, SecretStr, ValidationError
from requests.auth import AuthBase

from lorafleet.contracts.jobs import PROTOCOL
from lorafleet.contracts.problems import ConfigError, LorafleetError, StorageError, UnavailableError

Reply = TypeVar("Reply", bound=BaseModel)

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 15.0
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_DETAIL_LENGTH = 300


class ConsoleUnreachable(StorageError):
    """No answer, or one that says to come again later (429, 5xx)."""


class Fenced(LorafleetError):
    """A newer lease of the job exists, or this one was taken back (409): the attempt writes nothing more."""


class TokenRefused(LorafleetError):
    """The token or credential is not good (401)."""


class MessageRefused(UnavailableError):
    """The console does not take this message, and would not if it were sent again."""


class OtherProtocol(UnavailableError):
    """Console and worker speak different versions of the protocol."""


class Bearer(AuthBase):
    """A token as a header. It also keeps requests from taking credentials out of a .netrc."""

    def __init__(self, token: SecretStr | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """See ``requests.auth.AuthBase``."""
        if self._token is not None:
            request.headers["Authorization"] = f"Bearer {self._token.get_secret_value()}"
        return request


def check_url(url: str) -> str:
    """The console's URL without a slash at the end.

    Raises:
        ConfigError: it is no URL, or would carry tokens in the open.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ConfigError(
            "the console's address is https://, a host and perhaps a port", where=url.rpartition("@")[2], hint="--console"
        )
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ConfigError("plain http would carry tokens in the open", where=url, hint="use https://")
    return url.rstrip("/")


def open_session(url: str) -> requests.Session:
    """A session for one thread. On loopback no proxy of the environment may come in between."""
    session = requests.Session()
    session.trust_env = urlsplit(url).hostname not in _LOOPBACK
    return session


class Console:
    """The console at ``url``, spoken to with one token. Threads may share it."""

    def __init__(self, url: str, token: SecretStr | None = None) -> None:
        self._url = check_url(url)
        self._auth = Bearer(token)
        self._local = threading.local()

    def send(self, path: str, message: BaseModel, wait: float = 0.0) -> None:
        """Post a message whose answer holds nothing; ``wait`` as in :meth:`ask`.

        Raises:
            ConsoleUnreachable, Fenced, TokenRefused, MessageRefused: see there.
        """
        self._post(path, message, wait)

    def ask(self, path: str, message: BaseModel, reply: type[Reply], wait: float = 0.0) -> Reply:
        """Post a message and read the answer. ``wait`` is how many seconds more than usual the console may take.

        Raises:
            ConsoleUnreachable, Fenced, TokenRefused, MessageRefused: see there.
            OtherProtocol: the answer is of another version.
        """
        return _parsed(self._post(path, message, wait), reply, path)

    def ask_perhaps(self, path: str, message: BaseModel, reply: type[Reply], wait: float = 0.0) -> Reply | None:
        """The same where the console may answer that there is nothing (204)."""
        answer = self._post(path, message, wait)
        return None if answer.status_code == requests.codes.no_content else _parsed(answer, reply, path)

    def _post(self, path: str, message: BaseModel, wait: float) -> requests.Response:
        try:
            answer = self._session().post(
                self._url + path,
                data=message.model_dump_json().encode(),
                headers={"Content-Type": "application/json"},
                auth=self._auth,
                timeout=(_CONNECT_SECONDS, _ANSWER_SECONDS + wait),
                # A token never follows a redirect.
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise ConsoleUnreachable(f"the console cannot be reached: {_reason(error)}", where=self._url) from None
        return self._accepted(answer, path)

    def _accepted(self, answer: requests.Response, path: str) -> requests.Response:
        status = answer.status_code
        if status == requests.codes.conflict:
            raise Fenced(f"the attempt is over: {_detail(answer)}", where=path)
        if status == requests.codes.unauthorized:
            raise TokenRefused(f"the console refuses the token: {_detail(answer)}", where=path)
        if status == requests.codes.too_many_requests or status >= requests.codes.internal_server_error:
            raise ConsoleUnreachable(f"the console answers {status}", where=self._url)
        if not requests.codes.ok <= status < requests.codes.multiple_choices:
            raise MessageRefused(f"the console answers {status}: {_detail(answer)}", where=self._url + path)
        return answer

    def _session(self) -> requests.Session:
        session = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = open_session(self._url)
        assert isinstance(session, requests.Session)
        return session


def _parsed(answer: requests.Response, reply: type[Reply], path: str) -> Reply:
    try:
        return reply.model_validate_json(answer.content)
    except ValidationError:
        spoken = _protocol(answer)
        if spoken not in (None, PROTOCOL):
            raise OtherProtocol(
                f"the console speaks protocol {spoken}, this worker {PROTOCOL}",
                hint="release the worker's image and the console together",
            ) from None
        raise MessageRefused(f"the console's answer is no {reply.__name__}", where=path) from None


def _protocol(answer: requests.Response) -> object:
    try:
        value = answer.json()
    except requests.JSONDecodeError:
        return None
    return value.get("protocol") if isinstance(value, dict) else None


def _detail(answer: requests.Response) -> str:
    try:
        value = answer.json()
    except requests.JSONDecodeError:
        value = None
    detail = value.get("detail") if isinstance(value, dict) else None
    text = detail if isinstance(detail, str) and detail else answer.reason or "no reason given"
    return "".join(character if character.isprintable() else " " for character in text)[:_DETAIL_LENGTH]


def _reason(error: requests.RequestException) -> str:
    # The error's own text may hold the address with whatever secret is in it.
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted"
    if isinstance(error, requests.Timeout):
        return "it does not answer"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return type(error).__name__
