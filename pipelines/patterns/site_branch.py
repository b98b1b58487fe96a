"""One site's branch: preflight, smoke Job, Deployment, then share after share, each watched before the next.

Every stage ignores its failure, and the next one runs only if it succeeded: so a branch always falls through to its end at once,
where the take-back stands. A downstream stage never sees TERMINAL, hence no other way.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from lorafleet.contracts.fleet import ClusterRelease
from lorafleet.contracts.shares import ALL, Share, Strategy
from pipelines.manifests.release import TrackValue
from pipelines.manifests.smoke import smoke_job
from pipelines.manifests.worker import Workers
from pipelines.model.expressions import Expression, Status, all_of, any_of, is_, is_not
from pipelines.model.failure import FailureStrategy
from pipelines.model.stages import Cluster, DeployManifest, Role, RunJobManifest, Stage, Webhook
from pipelines.patterns import limits
from pipelines.patterns.analysis import Analyses, Analysis
from pipelines.patterns.console import ConsoleCalls


@dataclass(frozen=True)
class SiteBranch:
    """A site's stages in their order; the first is its preflight. It ends with its last watch, or with an analysis."""

    site: str
    cluster: Cluster
    workers: Workers
    release: ClusterRelease
    stages: tuple[Stage, ...]
    ends: tuple[Stage, ...]
    """What the take-back and the join hang on."""
    analysis: Analysis | None = None

    @property
    def preflight(self) -> Stage:
        """Without it the site is skipped."""
        return self.stages[0]

    @property
    def reached(self) -> Expression:
        """The site takes part; one that is not reached is skipped, which is no failure."""
        return is_(self.preflight, Status.SUCCEEDED)

    @property
    def skipped(self) -> Expression:
        """The site does not take part."""
        return is_not(self.preflight, Status.SUCCEEDED)

    @property
    def passed(self) -> Expression:
        """The candidate has done well in the site."""
        return _done(self.ends)

    @property
    def failed(self) -> Expression:
        """The site takes part and the candidate has not done well, for whatever reason."""
        return all_of([self.reached, any_of(is_not(stage, Status.SUCCEEDED) for stage in self.ends)])


@dataclass(frozen=True)
class _Later:
    name: str


def _done(stages: tuple[Stage, ...]) -> Expression:
    return all_of(is_(stage, Status.SUCCEEDED) for stage in stages)


def watched_shares(release: ClusterRelease) -> tuple[tuple[int, Share], ...]:
    """Steps of the schedule, from 1, and their shares, that are watched before the promotion.

    A canary gets everything by the promotion itself. Blue-green and rolling reach 100 % before, while the old workers still run.
    """
    steps = tuple(enumerate(release.schedule, start=1))
    return steps[:-1] if release.strategy is Strategy.CANARY and len(steps) > 1 else steps


def site_branch(
    release: ClusterRelease,
    workers: Workers,
    console: ConsoleCalls,
    watch: timedelta,
    parents: tuple[Stage, ...],
    others: Iterable[str],
    analyses: Analyses | None = None,
) -> SiteBranch:
    """The branch of a site. ``others`` are the revocations of other sites, by name: after one of them nothing new is deployed here.

    An analysis stands behind the last share that leaves the stable release requests to be compared by.

    Raises:
        ConfigError: the watch is too long.
    """
    site = release.site
    cluster = Cluster(account=workers.site.spinnaker_account, namespace=workers.site.namespace, application=workers.application)
    preflight = console.site_preflight(site, parents)
    smoke = RunJobManifest(
        ref_id=f"smoke-{site}",
        name=f"Smoke Job {site}",
        role=Role.CHECK,
        cluster=cluster,
        manifest=smoke_job(workers, limits.SMOKE_JOB),
        limit=limits.SMOKE,
        parents=(preflight,),
        failure=FailureStrategy.IGNORE,
        enabled=is_(preflight, Status.SUCCEEDED),
    )
    report = console.report_smoke(site, (smoke,), is_(smoke, Status.FAILED_CONTINUE))
    taken_back = [any_of(is_(_Later(other), status) for status in (Status.NOT_STARTED, Status.SKIPPED)) for other in others]
    deploy = DeployManifest(
        ref_id=f"deploy-{site}",
        name=f"Deploy {site}",
        role=Role.DEPLOY,
        cluster=cluster,
        manifests=workers.manifests(TrackValue.CANDIDATE),
        limit=limits.DEPLOY,
        parents=(report,),
        failure=FailureStrategy.IGNORE,
        enabled=all_of([is_(smoke, Status.SUCCEEDED), *taken_back]),
    )
    stages: list[Stage] = [preflight, smoke, report, deploy]
    ends: tuple[Stage, ...] = (deploy,)
    analysis = None
    for step, share in watched_shares(release):
        given = console.share(site, step, str(share), ends, _done(ends))
        watched = console.watch(site, str(step), str(share), watch, (given,), is_(given, Status.SUCCEEDED))
        stages += [given, watched]
        ends = (watched,)
        if analyses is not None and step == release.last_compared:
            analysis = analyses.after(watched, console, site, share)
            stages += analysis.stages
            ends = analysis.ends
    return SiteBranch(site, cluster, workers, release, tuple(stages), ends, analysis)


def full_watch(branch: SiteBranch, console: ConsoleCalls, watch: timedelta, promote: Stage) -> Webhook:
    """The watch after the promotion."""
    enabled = all_of([is_(promote, Status.SUCCEEDED), branch.reached])
    return console.watch(branch.site, "full", f"{ALL} promoted", watch, (promote,), enabled)
