"""The stages as a drawing sees them: twins (same parents, same children, same role) are one box with several lines."""

from collections import defaultdict
from dataclasses import dataclass

from pipelines.model.pipeline import Pipeline
from pipelines.model.stages import Role
from pipelines.render.table import limit_of


@dataclass(frozen=True)
class Box:
    """What is drawn as one: ``id`` is its first stage's."""

    id: str
    role: Role
    lines: tuple[tuple[str, str], ...]
    """Name and time limit of each stage."""
    parents: tuple[str, ...]


def boxes(pipeline: Pipeline) -> tuple[Box, ...]:
    """The boxes in the pipeline's order."""
    children: dict[str, list[str]] = defaultdict(list)
    for stage in pipeline.stages:
        for parent in stage.parents:
            children[parent.ref_id].append(stage.ref_id)
    groups: dict[tuple[Role, tuple[str, ...], tuple[str, ...]], list[int]] = defaultdict(list)
    for index, stage in enumerate(pipeline.stages):
        parents = tuple(parent.ref_id for parent in stage.parents)
        groups[stage.role, parents, tuple(children[stage.ref_id])].append(index)
    first = {pipeline.stages[index].ref_id: pipeline.stages[group[0]].ref_id for group in groups.values() for index in group}
    return tuple(
        Box(
            id=pipeline.stages[group[0]].ref_id,
            role=role,
            lines=tuple((pipeline.stages[index].name, limit_of(pipeline.stages[index])) for index in group),
            parents=tuple(dict.fromkeys(first[parent] for parent in parents)),
        )
        for (role, parents, _), group in groups.items()
    )
