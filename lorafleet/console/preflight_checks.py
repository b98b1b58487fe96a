"""The checks before a release gets its first request, against real registries, sites and tables."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool

from lorafleet.console.ports import Ledger
from lorafleet.console.settings import Settings
from lorafleet.contracts.compatibility import RUNTIMES, TORCH, numbers
from lorafleet.contracts.image import ImageReference
from lorafleet.contracts.problems import LorafleetError
from lorafleet.contracts.release import SiteRelease
from lorafleet.contracts.release_api import ReleaseView, StageAnswer, StageStatus
from lorafleet.contracts.site import Site
from lorafleet.registry import signatures
from lorafleet.registry.credentials import read_credentials
from lorafleet.registry.repository import Registries
from lorafleet.registry.signatures import read_public_key
from lorafleet.registry.transport import Patience

HEARD_LATELY = timedelta(minutes=10)
_CONNECT_SECONDS = 5.0
# A stage waits for the answer, and a registry that is away stops nobody.
_PATIENCE = Patience(connect=_CONNECT_SECONDS, silence=10.0, attempts=2)


@dataclass(frozen=True)
class _Found:
    """What a site's registry has: the digest, signed where that is wanted. ``said`` is one line for people."""

    good: bool
    said: str


class FleetChecks:
    """:class:`lorafleet.console.api.preflights.PreflightChecks` by the facts of ``settings.sites``.

    Raises:
        ConfigError: the file of registry credentials or of a signing key is none.
        NoInputError: such a file cannot be read.
    """

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._settings = settings
        self._ledger = ledger
        self._keys = [read_public_key(path) for path in settings.signing_keys]
        credentials = read_credentials(settings.registry_credentials) if settings.registry_credentials else None
        self._registries = Registries(credentials, _PATIENCE)

    async def everywhere(self, view: ReleaseView) -> StageAnswer:
        """The digest and its signature in the registries of the release's sites. One that does not answer stops nobody."""
        if not self._keys and not self._settings.allow_unsigned:
            return _fail("this console has no key to check the image's signature by (start it with --signing-key cosign.pub)")
        sites = [self._settings.sites[each.site] for each in view.release.sites if each.site in self._settings.sites]
        if not sites:
            return _fail("the console has the facts of none of the release's sites")
        found = await asyncio.gather(*(self._look(view, site) for site in sites))
        said = [f"{site.name}: {answer.said}" for site, answer in zip(sites, found, strict=True)]
        if not any(answer.good for answer in found):
            return _fail("; ".join(said))
        return _pass("; ".join(said if self._keys else ["signature not checked (unsigned images are allowed)", *said]))

    async def site(self, view: ReleaseView, site: str) -> StageAnswer:
        """The site is alive, its registry holds the signed digest, its driver is new enough, its pool has room."""
        facts = self._settings.sites.get(site)
        if facts is None:
            return _fail(f"the console has no facts of site {site}")
        alive, found = await asyncio.gather(self._alive(facts), self._look(view, facts))
        goes = next(each for each in view.release.sites if each.site == site)
        wrong = [] if alive else [f"not heard of for {HEARD_LATELY}, and its cluster does not answer"]
        if not found.good:
            wrong.append(f"its registry {found.said}")
        wrong += [*_driver(facts), *_room(facts, goes)]
        return _fail(f"{site}: {'; '.join(wrong)}") if wrong else _pass(f"{site}: alive, digest, driver and room are good")

    async def _look(self, view: ReleaseView, site: Site) -> _Found:
        return await run_in_threadpool(self._asked, view.image.copied_to(site.registry).pinned(view.release.digest))

    def _asked(self, image: ImageReference) -> _Found:
        repository = self._registries.repository(image)
        try:
            if self._keys:
                signature = signatures.verify(repository, image.digest, self._keys)
                return _Found(True, f"holds the digest, signed by {signature.key.name}")
            held = repository.find(image.digest) is not None
        except LorafleetError as error:
            return _Found(False, error.problems[0].what)
        return _Found(held, "holds the digest" if held else "does not hold the digest")

    async def _alive(self, site: Site) -> bool:
        sites = await run_in_threadpool(self._ledger.dispatcher.sites)
        heard_at = next((row.heard_at for row in sites if row.name == site.name), None)
        if heard_at is not None and self._ledger.now() - heard_at < HEARD_LATELY:
            return True
        endpoint = urlsplit(site.cluster.endpoint)
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_CONNECT_SECONDS):
                _, writer = await asyncio.open_connection(endpoint.hostname, endpoint.port or 443)
                writer.close()
                return True
        return False


def oldest_driver() -> str:
    """The oldest driver for images of this version: that of the CUDA runtime which the newest torch of the table has on PyPI."""
    runtime = numbers(TORCH[-1].pypi)
    return next(row.driver for row in RUNTIMES if numbers(row.runtime) == runtime)


def _driver(site: Site) -> Iterator[str]:
    least = oldest_driver()
    if site.gpu_pools and all(numbers(pool.driver) < numbers(least) for pool in site.gpu_pools):
        newest = max((pool.driver for pool in site.gpu_pools), key=numbers)
        yield f"its newest driver is {newest}, and the image needs {least}"


def _room(site: Site, goes: SiteRelease) -> Iterator[str]:
    room = sum(pool.max for pool in site.gpu_pools)
    if room < goes.target_size:
        yield f"its pools grow to {room} GPUs, and the release wants {goes.target_size} workers"


def _pass(detail: str) -> StageAnswer:
    return StageAnswer(status=StageStatus.PASS, detail=detail)


def _fail(detail: str) -> StageAnswer:
    return StageAnswer(status=StageStatus.FAIL, detail=detail)
