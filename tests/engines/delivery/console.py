"""What a trial needs of a console, whichever it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lorafleet.contracts.release import ReleaseState
from lorafleet.contracts.release_api import Registered, Registration


@dataclass(frozen=True)
class Traffic:
    """What a candidate's attempts in a site come to: how many a second, which part fails by the release, seconds to a heartbeat.

    ``held``: one attempt more never ends by itself, and beats until it is told that its lease was taken back.
    """

    a_second: float = 10.0
    error_rate: float = 0.0
    latency: float = 0.3
    held: bool = False


class Console(Protocol):
    """The console of a trial."""

    @property
    def url(self) -> str:
        """What pipelines call."""
        ...

    @property
    def registries(self) -> Mapping[str, str]:
        """The registries of its sites, by name."""
        ...

    def register(self, registration: Registration) -> Registered:
        """As CI does before it starts the pipeline."""
        ...

    def has_traffic(self, digest: str, site: str, traffic: Traffic) -> None:
        """From now on a candidate's Ready workers in a site fare like this. Without a word they fare well."""
        ...

    def new_image(self, name: str) -> str:
        """The digest of an image that the sites' registries hold, signed."""
        ...

    def loses_image(self, digest: str, site: str) -> None:
        """From now on a site does not pass the preflight of a release: its registry does not hold the digest."""
        ...

    def loses_signature(self, digest: str, site: str) -> None:
        """From now on a site does not pass the preflight of a release: its registry holds no signature of the digest."""
        ...

    def refuse(self) -> None:
        """Its port is closed: connections are refused."""
        ...

    def listen(self) -> None:
        """It is back, with all that it knew."""
        ...

    def state(self, release: str) -> ReleaseState:
        """Where a release stands."""
        ...

    def reason(self, release: str) -> str:
        """Why a release was taken back, in words; empty if it was not."""
        ...

    def told_at(self, digest: str) -> float | None:
        """When the last held attempt of a candidate was told, by the monotonic clock; None if none was."""
        ...

    @property
    def ledger(self) -> Path:
        """The database file, to read."""
        ...
