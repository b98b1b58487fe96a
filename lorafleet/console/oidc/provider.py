"""The provider's side of OpenID Connect Core 1.0: discovery, the authorization request, the code's exchange, and its ID token."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from lorafleet.console.domain.refusals import Refusal, Unauthorized
from lorafleet.console.oidc.config import OidcConfig, safe_url

# Only what is signed with the provider's own key: with HMAC whoever knows the client's secret could sign.
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
_KEY_TYPES = frozenset({"RSA", "EC", "OKP"})
_TIMEOUT_SECONDS = (5.0, 10.0)
_METADATA_SECONDS = 3600.0
_CLOCK_SKEW_SECONDS = 60
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class ProviderTrouble(Refusal):
    """The provider does not answer, or not as OpenID Connect has it."""

    status = 503


@dataclass(frozen=True)
class Identity:
    """Whom the provider vouches for, and until when."""

    subject: str
    name: str
    claims: Mapping[str, Any]
    ends_at: datetime


class Provider:
    """One provider. What it says of itself is kept for an hour, its keys until it signs with another one. Threads may share it."""

    def __init__(self, config: OidcConfig, redirect_uri: str, clock: Callable[[], float] = time.time) -> None:
        self._config = config
        self._redirect_uri = redirect_uri
        self._clock = clock
        self._metadata: tuple[float, Mapping[str, Any]] | None = None
        self._keys: KeySet | None = None

    def authorization_url(self, state: str, nonce: str, verifier: str) -> str:
        """Where the browser is sent.

        Raises:
            ProviderTrouble: the provider does not say where.
        """
        with self._session() as session:
            url, _ = session.create_authorization_url(
                self._discovered()["authorization_endpoint"], state=state, code_verifier=verifier, nonce=nonce
            )
        return str(url)

    def identity(self, code: str, nonce: str, verifier: str) -> Identity:
        """Exchange the code, and check the ID token: signature, issuer, audience, times and nonce.

        Raises:
            Unauthorized: the provider refuses the code, or the token is not good.
            ProviderTrouble: it does not answer.
        """
        token = self._exchange(code, verifier)
        id_token = token.get("id_token")
        if not isinstance(id_token, str):
            raise ProviderTrouble("the provider gave no ID token", hint="does the client ask for the scope openid?")
        try:
            claims = self._verified(id_token, nonce, token.get("access_token"))
        except JoseError as error:
            raise Unauthorized(f"the provider's ID token is not good: {_reason(error)}", hint="log in again") from None
        ends_at = datetime.fromtimestamp(float(claims["exp"]), UTC)
        if ends_at.timestamp() <= self._clock():
            raise Unauthorized("the provider's ID token has expired", hint="are the clocks right?")
        return Identity(str(claims["sub"]), _name(claims), claims, ends_at)

    def _exchange(self, code: str, verifier: str) -> Mapping[str, Any]:
        metadata = self._discovered()
        try:
            with self._session() as session:
                found: Mapping[str, Any] = session.fetch_token(
                    metadata["token_endpoint"],
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=verifier,
                    timeout=_TIMEOUT_SECONDS,
                    allow_redirects=False,
                )
        except AuthlibBaseError as error:
            raise Unauthorized(f"the provider refuses the login: {_printable(str(error.error))}", hint="log in again") from None
        except (requests.RequestException, ValueError) as error:
            raise self._trouble(error) from None
        return found

    def _verified(self, id_token: str, nonce: str, access_token: str | None) -> Mapping[str, Any]:
        registry = JWSRegistry(algorithms=list(_ALGORITHMS), strict_check_header=False)
        keys = self._keys or self._fetched_keys()
        try:
            token = jwt.decode(id_token, keys, registry=registry)
        except (JoseError, ValueError):
            # It may have begun to sign with a new key.
            try:
                token = jwt.decode(id_token, self._fetched_keys(), registry=registry)
            except ValueError:
                raise Unauthorized("the provider's ID token is signed with no key of its own", hint="log in again") from None
        claims = CodeIDToken(
            token.claims,
            token.header,
            {
                "iss": {"essential": True, "value": self._config.issuer},
                "aud": {"essential": True, "value": self._config.client_id},
            },
            {"nonce": nonce, "client_id": self._config.client_id, "access_token": access_token},
        )
        claims.validate(now=int(self._clock()), leeway=_CLOCK_SKEW_SECONDS)
        return dict(claims)

    def discover(self) -> Mapping[str, Any]:
        """Ask the provider for its addresses.

        Raises:
            ProviderTrouble: it does not answer, calls itself otherwise than the settings do, or names no good address.
        """
        found = self._get(f"{self._config.issuer.rstrip('/')}/.well-known/openid-configuration")
        if found.get("issuer") != self._config.issuer:
            raise ProviderTrouble("the provider calls itself otherwise than the console's settings do", hint="mend the issuer")
        for name in _ENDPOINTS:
            try:
                safe_url(str(found.get(name) or ""))
            except ValueError:
                raise ProviderTrouble(f"the provider names no good {name}") from None
        self._metadata = (self._clock(), found)
        return found

    def _discovered(self) -> Mapping[str, Any]:
        if self._metadata is None or self._clock() - self._metadata[0] > _METADATA_SECONDS:
            return self.discover()
        return self._metadata[1]

    def _fetched_keys(self) -> KeySet:
        listed = self._get(self._discovered()["jwks_uri"]).get("keys")
        usable = [key for key in listed if _signs(key)] if isinstance(listed, list) else []
        try:
            self._keys = KeySet.import_key_set({"keys": usable})
        except (JoseError, ValueError) as error:
            raise ProviderTrouble("the provider's keys cannot be read") from error
        return self._keys

    def _get(self, url: str) -> Mapping[str, Any]:
        try:
            with self._session() as session:
                answer = session.get(url, withhold_token=True, timeout=_TIMEOUT_SECONDS, allow_redirects=False)
            if answer.status_code != requests.codes.ok:
                raise ProviderTrouble(f"the provider answers {answer.status_code}", hint="try again later")
            found = answer.json()
        except requests.RequestException as error:
            raise self._trouble(error) from None
        if not isinstance(found, dict):
            raise ProviderTrouble("the provider's answer is no JSON object")
        return found

    def _session(self) -> OAuth2Session:
        config = self._config
        secret = config.client_secret.get_secret_value() if config.client_secret else None
        session = OAuth2Session(
            config.client_id,
            secret,
            token_endpoint_auth_method="client_secret_basic" if secret else "none",
            scope=" ".join(config.scopes),
            redirect_uri=self._redirect_uri,
            code_challenge_method="S256",
        )
        # On loopback no proxy of the environment may come in between.
        session.trust_env = urlsplit(config.issuer).hostname not in _LOOPBACK
        return session

    def _trouble(self, error: Exception) -> ProviderTrouble:
        # The error's own text may hold the code.
        what = "in time" if isinstance(error, requests.Timeout) else "as it should"
        return ProviderTrouble(f"the provider does not answer {what}", hint="try again later")


def _signs(key: Any) -> bool:
    return isinstance(key, dict) and key.get("kty") in _KEY_TYPES and key.get("use", "sig") == "sig"


def _name(claims: Mapping[str, Any]) -> str:
    found = next((claims[name] for name in ("email", "preferred_username", "name", "sub") if isinstance(claims.get(name), str)), "")
    return _printable(found) or "unknown"


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)[:100].strip()


def _reason(error: JoseError) -> str:
    claim = getattr(error, "claim", None)
    return f"{error.error} ({claim})" if isinstance(claim, str) else str(error.error)
