"""The part of the console that a release's pipeline calls, in memory, until the real one takes its place here.

Samples are invented, by :class:`Traffic`, at the pace that a candidate with ready workers and a share would bring them.
"""

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lorafleet.contracts.conditions import Condition
from lorafleet.contracts.image import digest12
from lorafleet.contracts.release import OutcomeCounts, ReleaseState
from lorafleet.contracts.release_api import FaultReport, Registered, Registration, Revocation, ShareStep, Watch
from lorafleet.contracts.shares import NONE, Share
from tests.engines.delivery.console import Traffic
from tests.engines.pki import Authority
from tests.engines.web_peer import Reply, Request, WebPeer

_GUARD_EVERY = 1.0
_DRAIN = 15.0


@dataclass
class Watching:
    """A watch under way."""

    site: str
    watch: Watch
    since: float = field(default_factory=time.monotonic)


@dataclass
class Candidate:
    """A registered release."""

    registration: Registration
    token: str
    state: ReleaseState = ReleaseState.PREPARING
    steps: dict[str, int] = field(default_factory=dict)
    counts: dict[str, OutcomeCounts] = field(default_factory=dict)
    carried: dict[str, float] = field(default_factory=dict)
    watches: dict[str, Watching] = field(default_factory=dict)
    reason: str = ""
    share_zero_at: float | None = None
    promoted_at: float | None = None

    def share(self, site: str) -> Share:
        """Its share of a site's requests now."""
        step = self.steps.get(site, 0)
        if self.state in (ReleaseState.PREPARING, ReleaseState.ROLLED_BACK) or step == 0:
            return NONE
        schedule = next(each.schedule for each in self.registration.sites if each.site == site)
        return schedule[step - 1]


class ConsoleStandIn:
    """A :class:`~tests.engines.delivery.console.Console`.

    ``ready(application, site, digest12)`` says how many workers of a release are Ready.
    """

    def __init__(self, authority: Authority, folder: Path, ready: Callable[[str, str, str], int]) -> None:
        self.releases: dict[str, Candidate] = {}
        self._traffic: dict[tuple[str, str], Traffic] = {}
        self._unfit: set[tuple[str, str]] = set()
        self.registries: Mapping[str, str] = {}
        self._ready = ready
        self._lock = threading.RLock()
        self.peer = WebPeer("console.lorafleet.test", authority, folder, self._reply)
        self.url = self.peer.url()
        self._closed = threading.Event()
        threading.Thread(target=self._guard, daemon=True).start()

    def close(self) -> None:
        self._closed.set()
        self.peer.refuse()

    def has_traffic(self, digest: str, site: str, traffic: Traffic) -> None:
        """See Console."""
        self._traffic[digest, site] = traffic

    def finds_unfit(self, digest: str, site: str) -> None:
        """See Console."""
        self._unfit.add((digest, site))

    def refuse(self) -> None:
        """See Console."""
        self.peer.refuse()

    def listen(self) -> None:
        """See Console."""
        self.peer.listen()

    def state(self, release: str) -> ReleaseState:
        """See Console."""
        return self.releases[release].state

    def reason(self, release: str) -> str:
        """See Console."""
        return self.releases[release].reason

    def share_zero_at(self, release: str) -> float | None:
        """See Console."""
        return self.releases[release].share_zero_at

    def register(self, registration: Registration) -> Registered:
        """See Console."""
        release, token = f"r-{secrets.token_hex(4)}", secrets.token_urlsafe(24)
        with self._lock:
            self.releases[release] = Candidate(registration, token)
        return Registered(release=release, token=token, expires_at=datetime.now(UTC) + timedelta(hours=1))

    def _reply(self, request: Request) -> Reply:
        _, _, _, kind, release, *rest = request.path.split("/")
        with self._lock:
            found = self.releases.get(release)
            if kind != "releases" or found is None:
                return 404, {"title": "no such release"}
            if not secrets.compare_digest(request.headers.get("Authorization", ""), f"Bearer {found.token}"):
                return 401, {"title": "not this release's token"}
            return self._answer(found, release, request, rest)

    def _answer(self, found: Candidate, release: str, request: Request, rest: list[str]) -> Reply:
        match (request.method, *rest):
            case ("GET",):
                return 200, {"release": {"state": found.state.value}}
            case (_, "preflight"):
                return _status("PASS", "signed, the same digest everywhere")
            case (_, "sites", site, "preflight"):
                unfit = (found.registration.digest, site) in self._unfit
                return _status("FAIL", "its registry does not hold the digest") if unfit else _status("PASS", "reached")
            case ("PUT", "sites", site, "share"):
                if found.state is ReleaseState.ROLLED_BACK:
                    return 409, {"title": "the release was taken back"}
                found.steps[site] = ShareStep.model_validate(request.body).step
                found.state = ReleaseState.WATCHING
                return _status("PASS", str(found.share(site)))
            case ("POST", "sites", site, "watches"):
                if found.state is ReleaseState.ROLLED_BACK:
                    return 409, {"title": "the release was taken back"}
                identifier = secrets.token_hex(4)
                found.watches[identifier] = Watching(site, Watch.model_validate(request.body))
                url = self.peer.url(f"{request.path}/{identifier}")
                return 200, {"status": "RUNNING", "detail": "begun", "statusUrl": url}
            case ("GET", "sites", _, "watches", identifier):
                return self._watched(found, found.watches[identifier])
            case ("POST", "sites", site, "fault"):
                self._take_back(found, f"{site}: {FaultReport.model_validate(request.body).fault}")
                return _status("PASS", "taken back")
            case ("POST", "promote"):
                if found.state not in (ReleaseState.WATCHING, ReleaseState.PROMOTING):
                    return 409, {"title": f"the release is {found.state}"}
                found.state = ReleaseState.PROMOTING
                found.promoted_at = found.promoted_at or time.monotonic()
                return _status("RUNNING", "old leases drain")
            case ("GET", "promote"):
                if found.promoted_at is None or time.monotonic() - found.promoted_at < _DRAIN:
                    return _status("RUNNING", "old leases drain")
                if found.state is ReleaseState.PROMOTING:
                    found.state = ReleaseState.STABLE
                return _status("PASS", "drained")
            case ("POST", "revoke"):
                self._take_back(found, Revocation.model_validate(request.body).reason)
                return _status("PASS", "share 0 everywhere")
        return 404, {"title": "no such address"}

    def _watched(self, found: Candidate, watching: Watching) -> Reply:
        elapsed = time.monotonic() - watching.since
        samples = found.counts.get(watching.site, OutcomeCounts()).samples
        if found.state is ReleaseState.ROLLED_BACK:
            return _status("FAIL", found.reason)
        if samples >= found.registration.min_samples and elapsed >= watching.watch.seconds:
            return _status("PASS", f"{samples} samples")
        if elapsed >= watching.watch.deadline:
            return _status("FAIL", f"too few samples: {samples}")
        return _status("RUNNING", f"{samples} of {found.registration.min_samples} samples")

    def _take_back(self, found: Candidate, reason: str) -> None:
        if found.state is not ReleaseState.ROLLED_BACK:
            found.reason = reason
            found.state = ReleaseState.ROLLED_BACK
            found.share_zero_at = time.monotonic()

    def _guard(self) -> None:
        while not self._closed.wait(_GUARD_EVERY):
            for found in list(self.releases.values()):
                if found.state in (ReleaseState.WATCHING, ReleaseState.PROMOTING):
                    for site in list(found.steps):
                        self._judge(found, site)

    def _judge(self, found: Candidate, site: str) -> None:
        registration = found.registration
        if not self._ready(registration.application, site, digest12(registration.digest)):
            return
        traffic = self._traffic.get((registration.digest, site), Traffic())
        with self._lock:
            due = found.carried.get(site, 0.0) + traffic.a_second * _GUARD_EVERY
            counts = found.counts.get(site, OutcomeCounts())
            samples = counts.samples + int(due)
            failed = round(samples * traffic.error_rate)
            found.carried[site] = due - int(due)
            counts = found.counts[site] = OutcomeCounts(succeeded=samples - failed, release=failed)
            if samples == 0:
                return
            values = {"latency": traffic.latency}
            if samples >= registration.min_samples and counts.error_rate is not None:
                values["errorRate"] = counts.error_rate
            if broken := _broken(registration.conditions, values):
                self._take_back(found, f"{site}: {broken} is broken by {values[broken.metric]:.4g}")


def _broken(conditions: tuple[Condition, ...], values: Mapping[str, float]) -> Condition | None:
    return next((each for each in conditions if each.metric in values and each.broken_by(values[each.metric])), None)


def _status(status: str, detail: str) -> tuple[int, dict[str, Any]]:
    return 200, {"status": status, "detail": detail}
