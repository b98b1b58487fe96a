"""A small OpenID Connect provider on loopback: discovery, keys, authorization and token endpoint, which checks what a real one does.

Its switches are plain attributes: ``groups``, ``changes`` to the ID token's claims (None leaves one out), ``sign``, ``denies``, ``down``.
"""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey
from loopback_server import LoopbackServer

CLIENT = "lorafleet-console"
CLIENT_SECRET = "the-client-s-secret"


def new_key(kid: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig"})


class OidcProvider(LoopbackServer):
    def __init__(self) -> None:
        self._first_key = new_key("k1")
        self.callback = ""
        self.metadata: dict[str, Any] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.key_requests = 0
        self.reset()
        super().__init__(_handler(self))

    def reset(self) -> None:
        self.keys = [self._first_key]
        self.groups: Any = ["trainers"]
        self.changes: dict[str, Any] = {}
        self.sign: Callable[[dict[str, Any]], str | None] = self.signed
        self.denies = ""
        self.down = False

    def rotate(self, kid: str) -> None:
        self.keys = [new_key(kid)]

    def signed(self, claims: dict[str, Any]) -> str:
        key = self.keys[0]
        return jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key)

    def discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            **self.metadata,
        }

    def jwks(self) -> dict[str, Any]:
        self.key_requests += 1
        return {"keys": [key.as_dict(private=False) for key in self.keys] + [{"kty": "of-tomorrow", "kid": "x"}, "nonsense"]}

    def authorize(self, query: dict[str, str]) -> str:
        """Where the browser is sent back to; a person who is asked for a password is left out."""
        assert query["redirect_uri"] == self.callback
        assert (query["client_id"], query["response_type"], query["code_challenge_method"]) == (CLIENT, "code", "S256")
        assert "openid" in query["scope"].split()
        if self.denies:
            return f"{self.callback}?{urlencode({'error': self.denies, 'state': query['state']})}"
        code = secrets.token_urlsafe(16)
        self.codes[code] = query
        return f"{self.callback}?{urlencode({'code': code, 'state': query['state'], 'iss': self.url})}"

    def exchange(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        expected = base64.b64encode(f"{CLIENT}:{CLIENT_SECRET}".encode()).decode()
        if authorization != f"Basic {expected}":
            return 401, {"error": "invalid_client"}
        asked = self.codes.pop(form["code"], None)
        if asked is None or form["grant_type"] != "authorization_code" or form["redirect_uri"] != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        if challenge != asked["code_challenge"]:
            return 400, {"error": "invalid_grant", "error_description": "PKCE"}
        now = int(time.time())
        claims = {
            "iss": self.url, "sub": "1234", "aud": CLIENT, "exp": now + 3600, "iat": now, "nonce": asked["nonce"],
            "email": "ada@example.org", "groups": self.groups, **self.changes,
        }  # fmt: skip
        claims = {name: value for name, value in claims.items() if value is not None}
        answer = {"access_token": "an-access-token", "token_type": "Bearer", "expires_in": 3600, "id_token": self.sign(claims)}
        return 200, {name: value for name, value in answer.items() if value is not None}


def _handler(provider: OidcProvider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if provider.down:
                self._send(503, {})
            elif parts.path == "/.well-known/openid-configuration":
                self._send(200, provider.discovery())
            elif parts.path == "/jwks":
                self._send(200, provider.jwks())
            elif parts.path == "/authorize":
                self._send(302, {}, provider.authorize(_single(parts.query)))
            else:
                self._send(404, {})

        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if provider.down:
                return self._send(503, {})
            self._send(*provider.exchange(_single(form), self.headers.get("Authorization", "")))

        def _send(self, status: int, body: dict[str, Any], location: str = "") -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            if location:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(data)

    return Handler


def _single(query: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(query, strict_parsing=True).items()}
