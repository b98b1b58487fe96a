"""The analysis by Kayenta, if the spec asks for one: the slow second line, behind a share that the guard has passed.

Kayenta knows nothing of the console, and an analysis cannot be ended early. So the console watches the candidate meanwhile, and a breach
is taken back at once, whether the analysis still runs or not; and so is what the analysis itself finds.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from lorafleet.contracts.canary import CanaryAnalysis, CanaryMetric
from lorafleet.contracts.fleet import FleetSpec
from lorafleet.contracts.metrics import ATTEMPTS_ENDED, CHECKPOINTS, LEASES, LEASES_EXPIRED, Metric
from lorafleet.contracts.outcomes import OutcomeClass
from lorafleet.contracts.shares import Share
from pipelines.manifests.release import DIGEST
from pipelines.model.canary import AnalysedMetric, CanaryConfig, KayentaCanary, Scope
from pipelines.model.expressions import Expression, Status, is_
from pipelines.model.failure import FailureStrategy
from pipelines.model.pipeline import canary_config_id
from pipelines.model.stages import Role, Stage, Webhook
from pipelines.patterns import limits
from pipelines.patterns.console import ConsoleCalls, revoke_name

# ${scope} is a matcher and not only a name, as PromQL has no other way to say "all but the candidate" by the same template.
CANDIDATE = f'="{DIGEST}"'
OTHERS = f'!="{DIGEST}"'

# Attempts last from minutes to hours: a shorter window would have no end of one in it most of the time.
_WINDOW = "15m"


def _increase(metric: Metric, *more: str) -> str:
    labels = ",".join(("release${scope}", 'site="${location}"', *more))
    return f"sum(increase({metric.name}{{{labels}}}[{_WINDOW}]))"


_FAILED = _increase(ATTEMPTS_ENDED, f'outcome="{OutcomeClass.RELEASE}"')
# What the console counts as samples, too: other ends say nothing of a release.
_SAMPLES = _increase(ATTEMPTS_ENDED, f'outcome=~"{OutcomeClass.SUCCEEDED}|{OutcomeClass.RELEASE}"')

# A failure that never happened has no series, and counts as 0; without leases or ends there is no point at all.
_QUERIES: Mapping[str, tuple[str, str]] = {
    ATTEMPTS_ENDED.name: ("increase", f"({_FAILED} or vector(0)) / {_SAMPLES}"),
    LEASES_EXPIRED.name: ("increase", f"({_increase(LEASES_EXPIRED)} or vector(0)) / {_increase(LEASES)}"),
    CHECKPOINTS.name: ("decrease", f"({_increase(CHECKPOINTS)} or vector(0)) / {_increase(LEASES)}"),
}


def canary_config(spec: FleetSpec) -> CanaryConfig | None:
    """Kayenta's config of an application; None where the spec asks for no analysis."""
    canary = spec.monitor.canary
    if canary is None:
        return None
    return CanaryConfig(
        id=canary_config_id(spec.application),
        name=f"lorafleet-{spec.application}",
        application=spec.application,
        account=canary.configurations,
        metrics=tuple(_metric(metric) for metric in canary.metrics),
    )


def _metric(metric: CanaryMetric) -> AnalysedMetric:
    direction, template = _QUERIES[metric.metric]
    return AnalysedMetric(
        name=metric.metric, template=template, direction=direction, weight=metric.weight, critical=metric.critical
    )


@dataclass(frozen=True)
class Analysis:
    """A site's analysis, the watch beside it, and the call that revokes the release where the analysis fails.

    What follows hangs on both of the first: a site has one watch at a time, so that the next may not begin before this one's end. That
    join is too late for a failure; so the call tells the console at once, the watch hears of it, and behind it the workers are removed.
    """

    judged: KayentaCanary
    watched: Webhook
    revoke: Webhook

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All three."""
        return self.judged, self.watched, self.revoke

    @property
    def ends(self) -> tuple[Stage, ...]:
        """What follows hangs on."""
        return self.judged, self.watched

    @property
    def broken(self) -> Expression:
        """The release was taken back meanwhile, by the guard, by this analysis or because of another site."""
        return is_(self.watched, Status.FAILED_CONTINUE)


@dataclass(frozen=True)
class Analyses:
    """What a spec asks for, the same in every site."""

    canary: CanaryAnalysis
    application: str
    metrics_account: str

    def after(self, watch: Stage, console: ConsoleCalls, site: str, share: Share) -> Analysis:
        """The analysis of a share whose watch has passed.

        Raises:
            ConfigError: the watch is too long.
        """
        enabled = is_(watch, Status.SUCCEEDED)
        limit = self.canary.lifetime + limits.ANALYSIS_SLACK
        judged = KayentaCanary(
            ref_id=f"analysis-{site}",
            name=f"Canary analysis {site}",
            role=Role.CHECK,
            limit=limit,
            parents=(watch,),
            failure=FailureStrategy.IGNORE,
            enabled=enabled,
            config_id=canary_config_id(self.application),
            metrics_account=self.metrics_account,
            storage_account=self.canary.storage_account,
            configuration_account=self.canary.configurations,
            scope=Scope(control=OTHERS, experiment=CANDIDATE, location=site),
            lifetime=self.canary.lifetime,
            interval=self.canary.interval,
            marginal=self.canary.thresholds.marginal,
            passing=self.canary.thresholds.passing,
        )
        watched = console.watch(site, "analysis", f"{share} analysed", limit, (watch,), enabled)
        reason = f"the analysis by Kayenta did not pass in {site}"
        failed = is_(judged, Status.FAILED_CONTINUE)
        revoke = console.revoke(f"revoke-analysed_{site}", revoke_name(_after_analysis(site)), reason, (judged,), failed)
        return Analysis(judged, watched, revoke)


def _after_analysis(site: str) -> str:
    return f"after the analysis {site}"


def while_analysing(site: str) -> str:
    """When a release is taken back because of what happened beside an analysis."""
    return f"while analysing {site}"


def revocations(site: str) -> tuple[str, ...]:
    """When a release is taken back because of an analysis, or beside it; for :func:`revoke_name`."""
    return while_analysing(site), _after_analysis(site)


def analyses(spec: FleetSpec) -> Analyses | None:
    """None where the spec asks for no analysis."""
    if spec.monitor.canary is None or spec.monitor.metrics_account is None:
        return None
    return Analyses(spec.monitor.canary, spec.application, spec.monitor.metrics_account)
