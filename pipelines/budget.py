"""The worst case of a rollback: from the first violating sample at the guard until no worker of the candidate is left.

A model made of constants and of the stages' own limits, not a measurement. It presumes a console that answers: without one there is
no violating sample, and every stage that calls it has its limit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from lorafleet.contracts.durations import format_duration
from lorafleet.contracts.problems import ConfigError
from pipelines.manifests.worker import GRACE_SECONDS
from pipelines.model.pipeline import Pipeline
from pipelines.model.stages import Role, Stage


@dataclass(frozen=True)
class Part:
    """A piece of the time, and where its length is from."""

    name: str
    length: timedelta
    source: str


GUARD = Part("the guard judges", timedelta(seconds=2), "the guard judges every second or two (console)")
POLL = Part("the watch stage polls", timedelta(seconds=15), "MonitorWebhookTask of Orca: 1 s for a minute, then 15 s")
HOP = Part(
    "a stage is skipped or begun",
    timedelta(milliseconds=200),
    "Orca's queue is polled every 50 ms; StartStage and CompleteStage each wait for one poll and are worked off",
)
OVERRUN = Part(
    "a limit is noticed", timedelta(seconds=5), "RunTaskHandler of Orca looks at limits on a task's polls; MonitorKatoTask: 5 s"
)
GRACE = Part("the pods end", timedelta(seconds=GRACE_SECONDS), "terminationGracePeriodSeconds of the worker Deployment")
GONE = Part("the pods are gone", timedelta(seconds=5), "garbage collection and kubelet after the Deployment's deletion")

CONSTANTS = (GUARD, POLL, HOP, OVERRUN, GRACE, GONE)


@dataclass(frozen=True)
class Path:
    """One way from a watch that sees the breach to a removal, with its parts in their order."""

    watch: Stage
    remove: Stage
    parts: tuple[Part, ...]

    @property
    def total(self) -> timedelta:
        """All parts together."""
        return sum((part.length for part in self.parts), timedelta())

    def __str__(self) -> str:
        parts = " + ".join(f"{part.name} {format_duration(part.length)}" for part in self.parts)
        return f"{format_duration(self.total)} from '{self.watch.name}' to '{self.remove.name}': {parts}"


def paths(release: Pipeline) -> tuple[Path, ...]:
    """Every way from a watch through the nearest revocation to a removal, the longest first."""
    followers = _followers(release)
    found = [
        _path(watch, hops, revoke, remove)
        for watch in release.stages
        if watch.role is Role.WATCH
        for revoke, hops in _nearest_revocations(watch, followers)
        for remove in followers[revoke.ref_id]
        if remove.role is Role.REMOVE
    ]
    return tuple(sorted(found, key=lambda path: path.total, reverse=True))


def check_budget(release: Pipeline, within: timedelta) -> Path:
    """The longest path of a release pipeline.

    Raises:
        ConfigError: it takes longer than ``within``, or a watch has no take-back behind it.
    """
    found = paths(release)
    without = [stage for stage in release.stages if stage.role is Role.WATCH and all(path.watch is not stage for path in found)]
    if without:
        raise ConfigError(f"no take-back follows '{without[0].name}'")
    longest = found[0]
    if longest.total > within:
        raise ConfigError(
            f"rollback.within: {format_duration(within)} cannot be kept; the worst case is {longest}",
            hint=f"allow {format_duration(_whole_seconds(longest.total))} or more, or let shares grow in fewer steps",
        )
    return longest


def _followers(release: Pipeline) -> dict[str, list[Stage]]:
    followers: dict[str, list[Stage]] = {stage.ref_id: [] for stage in release.stages}
    for stage in release.stages:
        for parent in stage.parents:
            followers[parent.ref_id].append(stage)
    return followers


def _nearest_revocations(watch: Stage, followers: dict[str, list[Stage]]) -> Iterator[tuple[Stage, int]]:
    """The revocations that no other one stands before, with the stages that are passed on the longest way to each."""
    depth = {watch.ref_id: 0}
    level = [watch]
    reached: dict[str, Stage] = {}
    while level:
        after = []
        for stage in level:
            for follower in followers[stage.ref_id]:
                depth[follower.ref_id] = depth[stage.ref_id] + 1
                if follower.role is Role.REVOKE:
                    reached[follower.ref_id] = follower
                elif follower.role is not Role.APPROVAL:
                    after.append(follower)
        level = after
    yield from ((stage, depth[ref_id]) for ref_id, stage in reached.items())


def _path(watch: Stage, hops: int, revoke: Stage, remove: Stage) -> Path:
    return Path(
        watch,
        remove,
        (
            GUARD,
            POLL,
            Part(f"{hops + 1} stages are passed", (hops + 1) * HOP.length, HOP.source),
            Part(f"'{revoke.name}'", revoke.limit, "the stage's limit"),
            Part(f"'{remove.name}'", remove.limit, "the stage's limit"),
            OVERRUN,
            GRACE,
            GONE,
        ),
    )


def _whole_seconds(length: timedelta) -> timedelta:
    return -(-length // timedelta(seconds=1)) * timedelta(seconds=1)
