"""The compact form of a fleet: one JSON object with the stages deploy, monitor and rollback. It becomes a :class:`FleetSpec`."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from lorafleet.contracts.conditions import MEASURED, Condition
from lorafleet.contracts.document import Document, validate
from lorafleet.contracts.fleet import Conditions, FleetSpec, TargetSize
from lorafleet.contracts.identifiers import Id
from lorafleet.contracts.image import ImageReference, parse_image
from lorafleet.contracts.problems import ConfigError, Problem
from lorafleet.contracts.shares import Strategy

Resolver = Callable[[str], str | None]
"""Gives a container's digest, ``sha256:…``, or None where it knows none; a mapping's ``get`` is one."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, serialize_by_alias=True)


class CompactCluster(_Part):
    """One site: Spinnaker's ``account`` has the site's name. ``container`` may carry a tag, see :func:`compile_compact`."""

    account: Id
    container: str
    target_size: TargetSize = Field(alias="targetSize")
    strategy: Strategy

    @field_validator("container")
    @classmethod
    def _is_an_image(cls, container: str) -> str:
        parse_image(container)
        return container


class DeployStage(_Part):
    """What goes where."""

    type: Literal["deploy"]
    clusters: tuple[CompactCluster, ...] = Field(min_length=1)

    @field_validator("clusters")
    @classmethod
    def _one_per_account(cls, clusters: tuple[CompactCluster, ...]) -> tuple[CompactCluster, ...]:
        accounts = [cluster.account for cluster in clusters]
        if twice := next((account for account in accounts if accounts.count(account) > 1), None):
            raise ValueError(f"'{twice}' stands twice")
        return clusters


class MonitorStage(_Part):
    """What is watched."""

    type: Literal["monitor"]
    metrics_account: Id = Field(alias="metricsAccount")
    scopes: tuple[Id, ...] = ()


class RollbackStage(_Part):
    """When it is taken back."""

    type: Literal["rollback"]
    trigger: Literal["automatic"]
    conditions: Conditions

    @field_validator("conditions")
    @classmethod
    def _are_measured(cls, conditions: tuple[Condition, ...]) -> tuple[Condition, ...]:
        for condition in conditions:
            if condition.metric not in MEASURED:
                known = " and ".join(MEASURED)
                raise ValueError(
                    f"'{condition.metric}' is not measured; this form knows {known}, and fleet.yaml queries of one's own"
                )
        return conditions


Stage = Annotated[DeployStage | MonitorStage | RollbackStage, Field(discriminator="type")]


class CompactPipeline(_Part):
    """The stages; each kind at most once, and always a deploy stage."""

    stages: tuple[Stage, ...]

    @field_validator("stages")
    @classmethod
    def _once_each(cls, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
        kinds = [stage.type for stage in stages]
        if "deploy" not in kinds:
            raise ValueError("there is no stage of type 'deploy'")
        if twice := next((kind for kind in kinds if kinds.count(kind) > 1), None):
            raise ValueError(f"two stages of type '{twice}'; keep one")
        return stages


class CompactSpec(_Part):
    """The whole compact form."""

    application: Id
    pipeline: CompactPipeline


def read_fleet(document: Document, resolve: Resolver | None = None) -> FleetSpec:
    """A fleet from either form; a document with the key ``pipeline`` is compact. See :func:`compile_compact` for ``resolve``.

    Raises:
        ConfigError: a key or value is wrong, or a tag is not resolved.
    """
    if isinstance(document.value, Mapping) and "pipeline" in document.value:
        return compile_compact(validate(CompactSpec, document), resolve, document)
    return validate(FleetSpec, document)


def compile_compact(spec: CompactSpec, resolve: Resolver | None = None, document: Document | None = None) -> FleetSpec:
    """The fleet that a compact form means.

    Each account is the site of the same name, the first one the home and the second the standby. ``resolve`` gets each
    container without a digest as it is written, such as ``lora-scripts:latest``; what has no digest after that is refused,
    since it may change at any time. ``document`` is what ``spec`` was read from; errors take their lines from it.

    Raises:
        ConfigError: a container is mutable, no digest was resolved to one, or there is more than one image.
    """
    stages: dict[str, Any] = {stage.type: stage for stage in spec.pipeline.stages}
    clusters: tuple[CompactCluster, ...] = stages["deploy"].clusters
    accounts = [cluster.account for cluster in clusters]
    fleet: dict[str, Any] = {
        "application": spec.application,
        "image": _one_image(spec, resolve or _resolve_nothing, document or Document(None)),
        "sites": accounts,
        "home": accounts[0],
        "standby": accounts[1] if len(accounts) > 1 else None,
        "release": {
            "clusters": [
                {"site": cluster.account, "targetSize": cluster.target_size, "strategy": cluster.strategy} for cluster in clusters
            ]
        },
    }
    for name in ("monitor", "rollback"):
        if name in stages:
            fleet[name] = stages[name].model_dump(exclude={"type"})
    return FleetSpec.model_validate(fleet)


def _resolve_nothing(_container: str) -> None:
    return None


def _one_image(spec: CompactSpec, resolve: Resolver, document: Document) -> ImageReference:
    images: dict[ImageReference, str] = {}
    problems: list[Problem] = []
    deploy, clusters = next((index, stage.clusters) for index, stage in enumerate(spec.pipeline.stages) if stage.type == "deploy")
    for index, cluster in enumerate(clusters):
        where = document.where(("pipeline", "stages", deploy, "clusters", index, "container"))
        image = parse_image(cluster.container)
        digest = resolve(cluster.container) if image.mutable else image.digest
        if digest is None:
            what = f"{cluster.account}: '{cluster.container}' may change at any time"
            problems.append(Problem(what, where, f"resolve it to a digest: {image.pinned('sha256:…')}"))
            continue
        try:
            pinned = parse_image(str(image.pinned(digest)))
        except ValueError:
            problems.append(Problem(f"'{digest}' is no digest of {cluster.container}", where, "sha256: and 64 digits"))
            continue
        if images and pinned not in images:
            what = f"{cluster.account} and {next(iter(images.values()))} would get different images"
            problems.append(Problem(what, where, "one release is one image everywhere"))
        images.setdefault(pinned, cluster.account)
    if problems:
        raise ConfigError(problems)
    return next(iter(images))
