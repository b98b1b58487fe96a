"""Asking a container registry what it holds, by the OCI distribution API. https only, but for loopback."""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from lorafleet.contracts.image import ImageReference
from lorafleet.contracts.problems import ConfigError

TIMEOUT_SECONDS = 10.0
_ACCEPT = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_LOOPBACK = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")


@dataclass(frozen=True)
class Found:
    """What a registry said. ``reached`` is False where it did not answer, so that nothing is known."""

    reached: bool
    holds: bool = False
    reason: str = ""


class Registries:
    """Reads with the credentials of a Docker configuration file (``auths``), or without any.

    Raises:
        ConfigError: the file is none.
    """

    def __init__(self, credentials: Path | None = None) -> None:
        self._auths = _read_auths(credentials) if credentials else {}

    async def holds(self, image: ImageReference) -> Found:
        """Whether the image's registry holds its digest, by ``HEAD /v2/<name>/manifests/<digest>``."""
        scheme = "http" if _LOOPBACK.fullmatch(image.registry) else "https"
        url = f"{scheme}://{image.registry}/v2/{image.repository}/manifests/{image.digest}"
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, follow_redirects=False, trust_env=False) as client:
                answer = await self._head(client, url, image.registry)
        except httpx.HTTPError as error:
            return Found(False, reason=f"does not answer ({type(error).__name__})")
        if answer.status_code == 200:
            said = answer.headers.get("docker-content-digest", image.digest)
            return Found(True, said == image.digest, "" if said == image.digest else f"gives another digest, {said}")
        if answer.status_code == 404:
            return Found(True, reason="does not hold the digest")
        if answer.status_code in (401, 403):
            return Found(True, reason="refuses to say; its credentials are missing or wrong")
        return Found(False, reason=f"answers {answer.status_code}")

    async def _head(self, client: httpx.AsyncClient, url: str, registry: str) -> httpx.Response:
        basic = self._auths.get(registry)
        headers = {"Accept": _ACCEPT}
        answer = await client.head(url, headers=headers)
        challenge = answer.headers.get("www-authenticate", "")
        if answer.status_code != 401 or not challenge:
            return answer
        if challenge.lower().startswith("basic"):
            return await client.head(url, headers={**headers, "Authorization": f"Basic {basic}"}) if basic else answer
        token = await self._token(client, challenge, basic)
        return await client.head(url, headers={**headers, "Authorization": f"Bearer {token}"}) if token else answer

    async def _token(self, client: httpx.AsyncClient, challenge: str, basic: str | None) -> str | None:
        """A token by the challenge's realm, as the distribution specification's token scheme has it."""
        values = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        realm = values.pop("realm", "")
        if not (realm.startswith("https://") or re.match(rf"http://{_LOOPBACK.pattern}/", realm)):
            return None
        query = {name: values[name] for name in ("service", "scope") if name in values}
        answer = await client.get(realm, params=query, headers={"Authorization": f"Basic {basic}"} if basic else {})
        try:
            body = answer.json() if answer.status_code == 200 else {}
        except ValueError:
            return None
        token = body.get("token") or body.get("access_token") if isinstance(body, dict) else None
        return token if isinstance(token, str) else None


def _read_auths(path: Path) -> Mapping[str, str]:
    try:
        auths = json.loads(path.read_text(encoding="utf-8"))["auths"]
        found = {name: str(entry["auth"]) for name, entry in auths.items() if "auth" in entry}
        for text in found.values():
            base64.b64decode(text, validate=True)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # The file's content is never repeated.
        raise ConfigError("this is no Docker configuration with auths", where=str(path)) from None
    return found
