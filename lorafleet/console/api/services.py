"""What the API's addresses share: the ledger, the stores and what waits in this process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request

from lorafleet.console.api.logins import LoginTokens
from lorafleet.console.api.preflights import PreflightChecks, Preflights
from lorafleet.console.api.rate_limits import RateLimits
from lorafleet.console.dataset_versions import DatasetVersions
from lorafleet.console.domain.records import EventKind
from lorafleet.console.domain.refusals import Fenced
from lorafleet.console.domain.sealing import Sealer
from lorafleet.console.group_commit import GroupCommit
from lorafleet.console.objects.stores import Stores
from lorafleet.console.oidc.login import OidcLogin
from lorafleet.console.ports import Ledger
from lorafleet.console.settings import OIDC_CALLBACK, Settings
from lorafleet.console.team_secrets import PURPOSE, TeamSecrets
from lorafleet.console.wakeups import Wakeup
from lorafleet.contracts.jobs import Job, LeaseRequest, Progress

Leased = tuple[Job, int, datetime]

_MAKES_WORK = frozenset({EventKind.SUBMITTED, EventKind.ENDED, EventKind.LOST, EventKind.REVOKED})


@dataclass
class Services:
    """``work`` rings when a job may wait, ``news`` when something happened to one."""

    settings: Settings
    ledger: Ledger
    stores: Stores
    versions: DatasetVersions
    checks: PreflightChecks
    work: Wakeup = field(default_factory=Wakeup)
    news: Wakeup = field(default_factory=Wakeup)
    logins: LoginTokens = field(default_factory=LoginTokens)
    limits: RateLimits = field(init=False)
    preflights: Preflights = field(init=False)
    secrets: TeamSecrets = field(init=False)
    oidc: OidcLogin | None = field(init=False)
    lease: GroupCommit[LeaseRequest, Leased | None] = field(init=False)
    progress: GroupCommit[Progress, None] = field(init=False)
    _silence: Callable[[], None] = field(default=lambda: None, init=False)

    def __post_init__(self) -> None:
        self.limits = RateLimits(self.settings.requests_per_second, self.settings.request_burst)
        self.preflights = Preflights(self.checks)
        self.secrets = TeamSecrets(self.ledger.secrets, Sealer(PURPOSE, self.settings.secrets))
        self.oidc = _oidc(self.settings)
        self.lease = GroupCommit(self._lease)
        self.progress = GroupCommit(self._progress)

    def start(self) -> None:
        """Tie what waits to the running loop."""
        self.work.start()
        self.news.start()
        self._silence = self.ledger.listen(self._hear)

    def stop(self) -> None:
        """Let whoever waits go, so that the process can end; again is harmless."""
        silence, self._silence = self._silence, lambda: None
        silence()
        self.work.close()
        self.news.close()

    def _hear(self, happened: Sequence[tuple[str, EventKind]]) -> None:
        self.news.ring()
        if any(kind in _MAKES_WORK for _, kind in happened):
            self.work.ring()

    def _lease(self, requests: Sequence[LeaseRequest]) -> Sequence[Leased | Exception | None]:
        return self.ledger.dispatcher.lease_many(requests, self.settings.lease_lifetime)

    def _progress(self, messages: Sequence[Progress]) -> Sequence[Exception | None]:
        try:
            self.ledger.dispatcher.progress(messages)
        except Fenced:
            # One stale writer must not cost the others of the group their report.
            return [self._one_progress(message) for message in messages]
        return [None] * len(messages)

    def _one_progress(self, message: Progress) -> Exception | None:
        try:
            self.ledger.dispatcher.progress([message])
        except Fenced as error:
            return error
        return None


def _oidc(settings: Settings) -> OidcLogin | None:
    if settings.oidc is None:
        return None
    return OidcLogin(settings.oidc, settings.public_url.rstrip("/") + OIDC_CALLBACK, settings.secrets)


def services(request: Request) -> Services:
    """Dependency: the application's services."""
    found: Services = request.app.state.services
    return found


Here = Annotated[Services, Depends(services)]
