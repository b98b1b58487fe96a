"""The compact form of a fleet: one JSON object with the stages deploy, monitor and rollback. It becomes a :class:`FleetSpec`."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from lorafleet.contracts.conditions import ConditionText
from lorafleet.contracts.document import Document, validate
from lorafleet.contracts.fleet import FleetSpec
from lorafleet.contracts.identifiers import Id
from lorafleet.contracts.image import ImageReference, parse_image
from lorafleet.contracts.problems import ConfigError, Problem
from lorafleet.contracts.shares import Strategy


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, serialize_by_alias=True)


class CompactCluster(_Part):
    """One site; ``account`` is its name. ``container`` may carry a tag, see :func:`compile_compact`."""

    account: Id
    container: str
    target_size: int = Field(alias="targetSize", ge=1, strict=True)
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


class MonitorStage(_Part):
    """What is watched."""

    type: Literal["monitor"]
    metrics_account: Id = Field(alias="metricsAccount")
    scopes: tuple[Id, ...] = ()


class RollbackStage(_Part):
    """When it is taken back."""

    type: Literal["rollback"]
    trigger: Literal["automatic"]
    conditions: tuple[ConditionText, ...] = Field(min_length=1)


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


def read_fleet(document: Document, digests: Mapping[str, str] | None = None) -> FleetSpec:
    """A fleet from either form; a document with the key ``pipeline`` is compact. See :func:`compile_compact` for ``digests``.

    Raises:
        ConfigError: a key or value is wrong, or a tag is not resolved.
    """
    if isinstance(document.value, Mapping) and "pipeline" in document.value:
        return compile_compact(validate(CompactSpec, document), digests, source=document.source)
    return validate(FleetSpec, document)


def compile_compact(spec: CompactSpec, digests: Mapping[str, str] | None = None, *, source: str = "") -> FleetSpec:
    """The fleet that a compact form means.

    The first account is the home and the second the standby. ``digests`` resolves containers as they are written, such as
    ``lora-scripts:latest``, to ``sha256:…``; what has no digest after that is refused, since it may change at any time.

    Raises:
        ConfigError: a container is mutable, or the result is no fleet; ``source`` says where it was written.
    """
    stages: dict[str, Any] = {stage.type: stage for stage in spec.pipeline.stages}
    clusters: tuple[CompactCluster, ...] = stages["deploy"].clusters
    image = _one_image(clusters, digests or {}, source)
    accounts = list(dict.fromkeys(cluster.account for cluster in clusters))
    fleet: dict[str, Any] = {
        "application": spec.application,
        "image": image,
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
    return validate(FleetSpec, Document(fleet, source))


def _one_image(clusters: Sequence[CompactCluster], digests: Mapping[str, str], source: str) -> ImageReference:
    images: dict[ImageReference, CompactCluster] = {}
    mutable: list[Problem] = []
    for cluster in clusters:
        image, container = parse_image(cluster.container), cluster.container
        digest = image.digest or digests.get(container)
        if digest is None:
            what = f"{cluster.account}: '{container}' may change at any time"
            mutable.append(Problem(what, source, f"resolve it to a digest: {image.pinned('sha256:…')}"))
            continue
        try:
            images.setdefault(parse_image(str(image.pinned(digest))), cluster)
        except ValueError:
            raise ConfigError(f"'{digest}' is no digest of {container}", where=source, hint="sha256: and 64 digits") from None
    if mutable:
        raise ConfigError(mutable)
    if len(images) > 1:
        first, second, *_ = images.values()
        raise ConfigError(
            f"{first.account} and {second.account} would get different images",
            where=source,
            hint="one release is one image everywhere",
        )
    return next(iter(images))
