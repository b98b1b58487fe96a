"""Calls of the console as webhook stages, from its contract (:mod:`lorafleet.contracts.release_api`)."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ValidationError

from lorafleet.contracts import paths
from lorafleet.contracts.problems import ConfigError
from lorafleet.contracts.release import HardFault
from lorafleet.contracts.release_api import FaultReport, Revocation, ShareStep, Watch
from pipelines.model.expressions import Expression
from pipelines.model.failure import FailureStrategy
from pipelines.model.people import ExecutionWindow
from pipelines.model.stages import Poll, Polling, Role, Stage, Webhook
from pipelines.patterns import limits


def revoke_name(when: str) -> str:
    """The name of a stage that takes the release back."""
    return f"Revoke {when}"


@dataclass(frozen=True)
class ConsoleCalls:
    """``release`` and ``token`` are SpEL in ``${}``: both are known only when a run is started."""

    url: str
    release: str
    token: str

    def preflight(self, parents: tuple[Stage, ...], window: ExecutionWindow | None) -> Webhook:
        """The checks that hold for all sites; without them nothing begins, and outside ``window`` it waits."""
        stage = self._stage(
            "preflight",
            "Preflight",
            Role.CHECK,
            "POST",
            paths.preflight(self.release),
            limits.PREFLIGHT,
            parents,
            poll=Poll(),
        )
        return replace(stage, window=window)

    def site_preflight(self, site: str, parents: tuple[Stage, ...]) -> Webhook:
        """One site's checks; a site that does not pass them is left out."""
        return self._stage(
            f"preflight-{site}",
            f"Preflight {site}",
            Role.CHECK,
            "POST",
            paths.site_preflight(self.release, site),
            limits.SITE_PREFLIGHT,
            parents,
            poll=Poll(),
            failure=FailureStrategy.IGNORE,
        )

    def report_smoke(self, site: str, parents: tuple[Stage, ...], enabled: Expression) -> Webhook:
        """Tells that the smoke Job failed, which is a breach."""
        report = FaultReport(fault=HardFault.SMOKE_JOB, detail=f"the smoke Job did not succeed in {site}")
        return self._stage(
            f"report-smoke-{site}",
            f"Report smoke Job {site}",
            Role.REVOKE,
            "POST",
            paths.fault(self.release, site),
            limits.REPORT,
            parents,
            payload=report,
            failure=FailureStrategy.IGNORE,
            enabled=enabled,
        )

    def share(self, site: str, step: int, share: str, parents: tuple[Stage, ...], enabled: Expression) -> Webhook:
        """Gives the candidate this step of the site's schedule."""
        return self._stage(
            f"share-{site}_{step}",
            f"Share {share} {site}",
            Role.SHARE,
            "PUT",
            paths.share(self.release, site),
            limits.SHARE,
            parents,
            payload=ShareStep(step=step),
            failure=FailureStrategy.IGNORE,
            enabled=enabled,
        )

    def watch(
        self, site: str, step: str, share: str, length: timedelta, parents: tuple[Stage, ...], enabled: Expression
    ) -> Webhook:
        """Watches the candidate in a site.

        Raises:
            ConfigError: the console watches no longer than a day.
        """
        deadline = length + max(length, limits.PROBING)
        try:
            asked = Watch(seconds=length.total_seconds(), deadline=deadline.total_seconds())
        except ValidationError:
            raise ConfigError(
                "release.watch: a share is watched for more than 0s and at most 1d", hint="the default is 5m"
            ) from None
        return self._stage(
            f"watch-{site}_{step}",
            f"Watch {share} {site}",
            Role.WATCH,
            "POST",
            paths.watches(self.release, site),
            deadline + limits.WATCH_SLACK,
            parents,
            payload=asked,
            poll=Poll(url=Polling.ANSWERED_URL),
            failure=FailureStrategy.IGNORE,
            enabled=enabled,
        )

    def revoke(self, ref_id: str, name: str, reason: str, parents: tuple[Stage, ...], enabled: Expression) -> Webhook:
        """Share 0 everywhere and the leases taken back; calling it twice does no harm."""
        return self._stage(
            ref_id,
            name,
            Role.REVOKE,
            "POST",
            paths.revoke(self.release),
            limits.REVOKE,
            parents,
            payload=Revocation(reason=reason),
            failure=FailureStrategy.IGNORE,
            enabled=enabled,
        )

    def promote(self, parents: tuple[Stage, ...], enabled: Expression) -> Webhook:
        """All requests to the release. It does not wait for old leases, so that the watch at 100 % begins at once."""
        return self._stage(
            "promote",
            "Promote",
            Role.SHARE,
            "POST",
            paths.promote(self.release),
            limits.PROMOTE,
            parents,
            failure=FailureStrategy.IGNORE,
            enabled=enabled,
        )

    def settle(self, parents: tuple[Stage, ...], enabled: Expression) -> Webhook:
        """Makes the promotion final at the console: before it a take-back is possible, after it none is."""
        return self._stage(
            "settle",
            "Settle",
            Role.SHARE,
            "POST",
            paths.settle(self.release),
            limits.PROMOTE,
            parents,
            failure=FailureStrategy.IGNORE,
            enabled=enabled,
        )

    def drained(self, held: timedelta, parents: tuple[Stage, ...]) -> Webhook:
        """Polls until the old release has no lease any more."""
        return self._stage(
            "drained",
            "Old leases drained",
            Role.CHECK,
            "GET",
            paths.settle(self.release),
            held,
            parents,
            poll=Poll(only=True),
            failure=FailureStrategy.IGNORE,
        )

    def hold(self, length: timedelta, parents: tuple[Stage, ...], enabled: Expression) -> Webhook:
        """Looks after the candidate while people are asked: fails if the release is taken back, ends once it is promoted."""
        return self._stage(
            "hold",
            "Watch while waiting",
            Role.WATCH,
            "GET",
            paths.release(self.release),
            length,
            parents,
            poll=Poll(status="$.release.state", success="PROMOTING,STABLE", failure="ROLLED_BACK,RETIRED", progress="", only=True),
            failure=FailureStrategy.IGNORE,
            enabled=enabled,
        )

    def _stage(
        self,
        ref_id: str,
        name: str,
        role: Role,
        method: str,
        path: str,
        limit: timedelta,
        parents: tuple[Stage, ...],
        *,
        payload: BaseModel | None = None,
        poll: Poll | None = None,
        failure: FailureStrategy = FailureStrategy.HALT_PIPELINE,
        enabled: Expression | None = None,
    ) -> Webhook:
        body: dict[str, Any] | None = None if payload is None else payload.model_dump(mode="json")
        return Webhook(
            ref_id=ref_id,
            name=name,
            role=role,
            method=method,
            url=self.url + path,
            # Nobody can read this header's value from the pipeline: the token comes with a run, and dies with its release.
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
            payload=body if body is not None else ({} if method == "POST" else None),
            limit=limit,
            parents=parents,
            poll=poll,
            failure=failure,
            enabled=enabled,
        )
