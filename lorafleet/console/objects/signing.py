"""Signed URLs of the folder server: HMAC-SHA256 over everything that a URL allows. Pure; nothing here reads a clock or a file.

A URL is ``<base>/objects/<key>?expires=…[&size=…][&sha256=…]&signature=…``, or ``<base>/list/<prefix>?…`` for a listing. The query
has exactly one spelling, so that any other order, repeated name or stray character is refused too.
"""

import hashlib
import hmac
import json
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from urllib.parse import quote

OBJECTS, LISTS = "/objects/", "/list/"
METHODS = ("GET", "HEAD", "PUT", "DELETE", "LIST")
LEAST_SECRET_BYTES = 32

_QUERY = re.compile(
    r"expires=(?P<expires>[0-9]{1,12})(?:&size=(?P<size>[0-9]{1,19}))?(?:&sha256=(?P<sha256>[0-9a-f]{64}))?&signature=(?P<signature>[A-Za-z0-9_-]{43})"
)


@dataclass(frozen=True)
class Permit:
    """What a signed URL allows: one method on one key until ``expires`` (Unix seconds), and the content where it is known.

    ``LIST`` is a GET of the keys below a prefix.
    """

    method: str
    key: str
    expires: int
    size: int | None = None
    sha256: str | None = None


class BadSignatureError(Exception):
    """The URL is none of ours, was changed, or has expired. Its text is safe to show."""


def signed_url(base: str, permit: Permit, secret: bytes) -> str:
    """The URL of a permit below the server's address ``base``."""
    place = LISTS if permit.method == "LIST" else OBJECTS
    return f"{base.rstrip('/')}{place}{quote(permit.key, safe='/')}?{signed_query(permit, secret)}"


def signed_query(permit: Permit, secret: bytes) -> str:
    """The query of a permit's URL."""
    parts = [f"expires={permit.expires}"]
    if permit.size is not None:
        parts.append(f"size={permit.size}")
    if permit.sha256 is not None:
        parts.append(f"sha256={permit.sha256}")
    return "&".join([*parts, f"signature={_signature(permit, secret)}"])


def read_permit(method: str, key: str, query: str, secret: bytes, now: float) -> Permit:
    """The permit of a request.

    Raises:
        BadSignatureError: it allows no such thing, or not any more.
    """
    found = _QUERY.fullmatch(query)
    if found is None:
        raise BadSignatureError("the URL is not signed")
    size = None if found["size"] is None else int(found["size"])
    permit = Permit(method, key, int(found["expires"]), size, found["sha256"])
    if not hmac.compare_digest(signed_query(permit, secret).encode(), query.encode()):
        raise BadSignatureError("the signature is wrong")
    if now >= permit.expires:
        raise BadSignatureError("the URL has expired")
    return permit


def _signature(permit: Permit, secret: bytes) -> str:
    # A JSON list, because no choice of key can make two different lists look the same.
    fields = ["lorafleet-object-1", permit.method, permit.key, permit.expires, permit.size, permit.sha256]
    mac = hmac.new(secret, json.dumps(fields).encode(), hashlib.sha256)
    return urlsafe_b64encode(mac.digest()).rstrip(b"=").decode()
