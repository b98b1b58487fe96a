"""What a push would do, from what is wanted and what Gate holds; pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from lorafleet.contracts.problems import LorafleetError, Problem
from pipelines.gate.diff import Difference, differences
from pipelines.gate.normal import OWNER, fingerprint, is_ours, normal

Json = Mapping[str, Any]


class NotOurs(LorafleetError):
    """Gate holds something of the same name that is not ours."""


class Action(StrEnum):
    """What happens to a pipeline."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    KEEP = "keep"


@dataclass(frozen=True)
class Base:
    """What Gate held when the plan was made."""

    name: str
    fingerprint: str
    update_ts: str | None = None


@dataclass(frozen=True)
class Change:
    """One pipeline. ``pipeline`` is what is pushed, with the id that Gate knows it by; None where it is deleted.

    ``base`` is None where Gate has nothing of it.
    """

    action: Action
    name: str
    pipeline: Json | None
    base: Base | None
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True)
class ApplicationChange:
    """What happens to the application; KEEP where it is there, as its owner may have set more than a spec says."""

    action: Action
    attributes: Json
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True)
class ConfigChange:
    """What happens to Kayenta's canary config, kept in ``account``. ``config`` has the id that Gate knows it by.

    ``base`` is the fingerprint of what Gate held when the plan was made, None where it held nothing.
    """

    action: Action
    name: str
    account: str
    config: Json
    base: str | None = None
    differences: tuple[Difference, ...] = ()

    @property
    def id(self) -> str:
        """What pipelines refer to it by."""
        return str(self.config["id"])


@dataclass(frozen=True)
class Plan:
    """All of it. ``orphans`` are pipelines with our tag that the spec has no more; only a pruning plan deletes them."""

    application: ApplicationChange
    changes: tuple[Change, ...]
    orphans: tuple[str, ...] = field(default=())
    canary_config: ConfigChange | None = None

    @property
    def name(self) -> str:
        """The application's name."""
        return str(self.application.attributes["name"])

    @property
    def steps(self) -> tuple[Change, ...]:
        """The changes that change something."""
        return tuple(change for change in self.changes if change.action is not Action.KEEP)

    @property
    def empty(self) -> bool:
        """Whether a push would do nothing."""
        config = self.canary_config is None or self.canary_config.action is Action.KEEP
        return config and not self.steps and self.application.action is Action.KEEP


def make_plan(
    application: Json,
    wanted: Sequence[Json],
    held_application: Json | None,
    held: Sequence[Json],
    *,
    prune: bool = False,
    secret: str | None = None,
    canary_config: ConfigChange | None = None,
) -> Plan:
    """Compare what is wanted with what Gate holds.

    A pipeline is the same one where its id is, or its name, which Front50 takes without regard to case. Where Gate knows it by
    another id, that id is used, in references to it too; and so with ``canary_config``. ``secret`` is what the webhook's placeholder
    stands for, if known.

    Raises:
        NotOurs: a name or id is taken by a pipeline without our tag, or a name by one more pipeline than the one of that id.
    """
    taken = {pipeline["id"] for pipeline in wanted}
    pairs = [(pipeline, _counterpart(pipeline, held, taken)) for pipeline in wanted]
    _refuse_foreign(pairs, held)
    ids = {str(pipeline["id"]): str(there["id"]) for pipeline, there in pairs if there is not None and "id" in there}
    config_id = None if canary_config is None else canary_config.id
    changes = [_change(with_config_id(with_ids(pipeline, ids), config_id), there, secret) for pipeline, there in pairs]
    kept = {id(there) for _, there in pairs if there is not None}
    orphans = [pipeline for pipeline in held if is_ours(pipeline) and id(pipeline) not in kept]
    if prune:
        changes += [Change(Action.DELETE, str(pipeline["name"]), None, _base(pipeline)) for pipeline in orphans]
    return Plan(
        _application(application, held_application),
        tuple(changes),
        () if prune else tuple(sorted(str(pipeline["name"]) for pipeline in orphans)),
        canary_config,
    )


def with_ids(pipeline: Json, ids: Mapping[str, str]) -> dict[str, Any]:
    """The pipeline with the ids that Gate knows it and those it refers to by."""

    def refers(part: Json) -> dict[str, Any]:
        if part.get("type") == "pipeline" and part.get("pipeline") in ids:
            return {**part, "pipeline": ids[part["pipeline"]]}
        return dict(part)

    changed = dict(pipeline)
    changed["id"] = ids.get(str(pipeline["id"]), pipeline["id"])
    for key in ("stages", "triggers"):
        if key in pipeline:
            changed[key] = [refers(part) for part in pipeline[key]]
    return changed


def with_config_id(pipeline: Json, config_id: str | None) -> Json:
    """The pipeline with the id that Gate knows the canary config by; as it is where there is none."""

    def refers(stage: Json) -> Json:
        if stage.get("type") != "kayentaCanary":
            return stage
        return {**stage, "canaryConfig": {**stage["canaryConfig"], "canaryConfigId": config_id}}

    return pipeline if config_id is None else {**pipeline, "stages": [refers(stage) for stage in pipeline["stages"]]}


def base_of(pipeline: Json) -> Base:
    """What is remembered of a pipeline that Gate holds."""
    return _base(pipeline)


def _base(pipeline: Json) -> Base:
    stamp = pipeline.get("updateTs")
    return Base(str(pipeline["name"]), fingerprint(pipeline), None if stamp is None else str(stamp))


def _same_name(one: Json, other: Json) -> bool:
    return str(one.get("name", "")).casefold() == str(other.get("name", "")).casefold()


def _counterpart(pipeline: Json, held: Sequence[Json], taken: Collection[Any]) -> Json | None:
    by_id = (there for there in held if there.get("id") == pipeline["id"])
    by_name = (there for there in held if _same_name(there, pipeline) and there.get("id") not in taken)
    return next(by_id, None) or next(by_name, None)


def _refuse_foreign(pairs: Iterable[tuple[Json, Json | None]], held: Sequence[Json]) -> None:
    problems = []
    for pipeline, there in pairs:
        if there is None:
            continue
        taken = [other for other in held if other is not there and _same_name(other, pipeline)]
        if not is_ours(there):
            what = f"Gate holds a pipeline '{there.get('name')}' without our tag; it is not touched"
            hint = f"rename it there, or give it the tag {OWNER['name']}={OWNER['value']} to hand it over"
            problems.append(Problem(what, hint=hint))
        elif taken:
            what = f"Gate holds '{pipeline['name']}' as '{there.get('name')}', and another pipeline has the new name"
            problems.append(Problem(what, hint="rename or delete one of the two there"))
    if problems:
        raise NotOurs(problems)


def _change(pipeline: Json, there: Json | None, secret: str | None) -> Change:
    name = str(pipeline["name"])
    if there is None:
        return Change(Action.CREATE, name, pipeline, None, tuple(differences({}, normal(pipeline, secret=secret, wanted=True))))
    found = tuple(differences(normal(there, secret=secret), normal(pipeline, secret=secret, wanted=True)))
    return Change(Action.UPDATE if found else Action.KEEP, name, pipeline, _base(there), found)


def _application(wanted: Json, held: Json | None) -> ApplicationChange:
    if held is None:
        return ApplicationChange(Action.CREATE, wanted, tuple(differences({}, wanted)))
    return ApplicationChange(Action.KEEP, wanted)
