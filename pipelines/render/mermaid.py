"""The stage graph for Mermaid, which forges draw inside Markdown."""

from pipelines.model.pipeline import Pipeline
from pipelines.render.colours import AFTER_FAILURE, FILL, STROKE
from pipelines.render.graph import Box, boxes


def render_mermaid(pipeline: Pipeline) -> str:
    """A flow chart from top to bottom, coloured by what stages are there for."""
    drawn = boxes(pipeline)
    lines = ["flowchart TB"]
    lines += [f'  {_id(box.id)}["{_label(box)}"]:::{box.role.value}' for box in drawn]
    lines += [f"  {_id(parent)} --> {_id(box.id)}" for box in drawn for parent in box.parents]
    used = [role for role in FILL if any(box.role is role for box in drawn)]
    for role in used:
        dashes = ",stroke-dasharray:4 3" if role in AFTER_FAILURE else ""
        lines.append(f"  classDef {role.value} fill:{FILL[role]},stroke:{STROKE[role]},color:#1f2328{dashes}")
    return "\n".join(lines) + "\n"


def _id(ref_id: str) -> str:
    # "end" and names that begin with o or x mean something to Mermaid.
    return "s_" + ref_id.replace("_", "__").replace("-", "_")


def _label(box: Box) -> str:
    return "<br/>".join(f"{name} · {limit}".replace('"', "#quot;").replace("<", "#lt;") for name, limit in box.lines)
