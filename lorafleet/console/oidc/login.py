"""One login from the link to the callback. What has to be remembered in between travels in a sealed cookie, not in this process."""

import hmac
import json
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from lorafleet.console.domain.membership import Membership, membership
from lorafleet.console.domain.refusals import Forbidden, Unauthorized
from lorafleet.console.domain.sealing import Sealer, Unreadable
from lorafleet.console.oidc.config import OidcConfig
from lorafleet.console.oidc.provider import Identity, Provider, ProviderTrouble

LOGIN_SECONDS = 600
"""How long a person may take at the provider."""

_PURPOSE = "login with a provider"


@dataclass(frozen=True)
class _Begun:
    state: str
    nonce: str
    verifier: str
    ends: float


@dataclass(frozen=True)
class Callback:
    """What the provider sends the browser back with. ``issuer`` is RFC 9207's, which not all providers send."""

    state: str
    code: str
    error: str
    issuer: str


class OidcLogin:
    """Logging in with the configured provider. Several consoles with the same secret share logins."""

    def __init__(self, config: OidcConfig, redirect_uri: str, keys: Sequence[str], clock: Callable[[], float] = time.time) -> None:
        self._config = config
        self._provider = Provider(config, redirect_uri, clock)
        self._sealer = Sealer(_PURPOSE, keys)
        self._clock = clock

    @property
    def name(self) -> str:
        """How people call the provider."""
        return self._config.name

    @property
    def ends_with_id_token(self) -> bool:
        """Whether a session ends with the provider's ID token."""
        return self._config.end_with_id_token

    def trouble(self) -> str:
        """What is wrong with the provider, empty where it answers as it should."""
        try:
            self._provider.discover()
        except ProviderTrouble as error:
            return str(error)
        return ""

    def begin(self) -> tuple[str, str]:
        """Where the browser is sent, and the sealed cookie that it keeps meanwhile. Raises ProviderTrouble."""
        state, nonce, verifier = (secrets.token_urlsafe(48) for _ in range(3))
        begun = _Begun(state, nonce, verifier, self._clock() + LOGIN_SECONDS)
        return self._provider.authorization_url(state, nonce, verifier), self._sealer.seal(json.dumps(asdict(begun)))

    def finish(self, cookie: str, callback: Callback) -> tuple[Identity, Membership]:
        """Who has logged in, and what they are here.

        Raises:
            Unauthorized: this browser began no such login, it took too long, or the provider does not vouch for the person.
            Forbidden: none of the person's groups has a role here.
            ProviderTrouble: the provider does not answer.
        """
        begun = self._begun(cookie)
        if not hmac.compare_digest(begun.state.encode(), callback.state.encode()):
            raise Unauthorized("this login was begun in another window or browser", hint="log in again")
        if callback.issuer and callback.issuer != self._config.issuer:
            raise Unauthorized("the answer comes from another provider", hint="log in again")
        if callback.error:
            raise Unauthorized(f"the provider says: {callback.error}", hint="log in again, or ask whoever runs it")
        if not callback.code:
            raise Unauthorized("the provider's answer holds no code", hint="log in again")
        identity = self._provider.identity(callback.code, begun.nonce, begun.verifier)
        found = membership(identity.claims, self._config.groups_claim, self._config.rules)
        if found is None:
            raise Forbidden(f"{identity.name} is in no group that has a role here", hint="ask an administrator for a group")
        return identity, found

    def _begun(self, cookie: str) -> _Begun:
        try:
            begun = _Begun(**json.loads(self._sealer.open(cookie)))
        except Unreadable:
            raise Unauthorized("this browser has begun no login", hint="allow cookies, and log in again") from None
        if begun.ends <= self._clock():
            raise Unauthorized("the login took too long", hint="log in again")
        return begun
