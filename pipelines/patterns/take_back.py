"""The take-back: share 0 everywhere first, then the workers away in every site at once."""

from collections.abc import Sequence
from datetime import timedelta

from pipelines.manifests.release import (
    APPLICATION_LABEL,
    COMPONENT_LABEL,
    DIGEST12,
    RELEASE_LABEL,
    TRACK_LABEL,
    WORKER,
    TrackValue,
)
from pipelines.manifests.worker import Workers
from pipelines.model.expressions import Expression, Status, all_of, is_
from pipelines.model.failure import FailureStrategy
from pipelines.model.stages import Cluster, DeleteManifest, Match, Role, Selector, Stage
from pipelines.patterns import limits
from pipelines.patterns.console import ConsoleCalls, revoke_name
from pipelines.patterns.site_branch import SiteBranch


def candidate(application: str, digest12: str = DIGEST12) -> tuple[Selector, ...]:
    """The candidate's objects in a site, never a stable one's."""
    return (
        Selector(APPLICATION_LABEL, Match.EQUALS, application),
        Selector(COMPONENT_LABEL, Match.EQUALS, WORKER),
        Selector(RELEASE_LABEL, Match.EQUALS, digest12),
        Selector(TRACK_LABEL, Match.EQUALS, TrackValue.CANDIDATE.value),
    )


def older(application: str) -> tuple[Selector, ...]:
    """The objects of all other releases in a site."""
    return (
        Selector(APPLICATION_LABEL, Match.EQUALS, application),
        Selector(COMPONENT_LABEL, Match.EQUALS, WORKER),
        Selector(RELEASE_LABEL, Match.NOT_EQUALS, DIGEST12),
    )


def remove(
    ref_id: str,
    name: str,
    cluster: Cluster,
    workers: Workers,
    selectors: tuple[Selector, ...],
    parents: tuple[Stage, ...],
    enabled: Expression | None,
    limit: timedelta = limits.REMOVE,
    role: Role = Role.REMOVE,
) -> DeleteManifest:
    """Deletes what is selected in one site. The Deployment goes first, and with it its pods; the ScaledObject is only its shadow."""
    return DeleteManifest(
        ref_id=ref_id,
        name=name,
        role=role,
        cluster=cluster,
        kinds=workers.kinds,
        selectors=selectors,
        limit=limit,
        parents=parents,
        failure=FailureStrategy.IGNORE,
        enabled=enabled,
    )


def take_back(
    name: str,
    when: str,
    reason: str,
    console: ConsoleCalls,
    branches: Sequence[SiteBranch],
    parents: tuple[Stage, ...],
    enabled: Expression,
) -> tuple[Stage, tuple[Stage, ...]]:
    """The call that revokes the release, and behind it a removal for each site that takes part.

    Nothing is removed where the console does not revoke: one that is away gives nobody a job, and one that refuses calls the release
    stable. The run then fails, and the rollback pipeline asks again.

    ``name`` tells the take-backs' refIds apart and ``when`` their names, as in "Revoke after aws-eu-central-1".
    """
    revoke = console.revoke(f"revoke-{name}", revoke_name(when), reason, parents, enabled)
    revoked = is_(revoke, Status.SUCCEEDED)
    removals = tuple(
        remove(
            # A site's name has no underscore, so that no two of these are the same.
            f"remove-{name}_{branch.site}",
            f"Remove workers {branch.site} {when}",
            branch.cluster,
            branch.workers,
            candidate(branch.workers.application),
            (revoke,),
            all_of([revoked, branch.reached]),
        )
        for branch in branches
    )
    return revoke, removals
