"""The stage graph as an SVG that needs nothing else: no script, no font, no network."""

from collections.abc import Sequence
from html import escape
from itertools import pairwise

from pipelines.model.pipeline import Pipeline
from pipelines.model.stages import Role
from pipelines.render.colours import AFTER_FAILURE, FILL, STROKE
from pipelines.render.graph import Box, boxes
from pipelines.render.layout import Layout, Node, layout

_LINE = 17
_PADDING = 9
_LETTER = 6.7
_MARGIN = 24
_HEAD = 62
_LEGEND_STEP = 96
_INK, _FAINT, _EDGE = "#1f2328", "#57606a", "#8c959f"


def render_svg(pipeline: Pipeline) -> str:
    """Stages from top to bottom with their time limits, coloured by what they are there for."""
    drawn = boxes(pipeline)
    order = {stage.ref_id: index for index, stage in enumerate(pipeline.stages)}
    sorted_boxes = _after_parents(drawn, order)
    sizes = {box.id: (_width(box), len(box.lines) * _LINE + 2 * _PADDING) for box in drawn}
    placed = layout(
        [Node(box.id, *map(float, sizes[box.id])) for box in sorted_boxes],
        [(parent, box.id) for box in sorted_boxes for parent in box.parents],
    )
    roles = [role for role in FILL if any(box.role is role for box in drawn)]
    width = round(max(placed.width, (len(roles) + 2) * _LEGEND_STEP)) + 2 * _MARGIN
    height = round(placed.height) + _HEAD + _MARGIN
    title = escape(f"{pipeline.application}: {pipeline.name}")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        ' font-family="system-ui, sans-serif" font-size="12" role="img">',
        f"<title>{title}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="{_MARGIN}" y="26" font-size="15" font-weight="600" fill="{_INK}">{title}</text>',
    ]
    for index, role in enumerate(roles):
        x = _MARGIN + index * _LEGEND_STEP
        parts.append(f'<rect x="{x}" y="38" width="12" height="12" rx="2" {_paint(role)}/>')
        parts.append(f'<text x="{x + 18}" y="48" fill="{_FAINT}">{role.value}</text>')
    if any(role in AFTER_FAILURE for role in roles):
        x = _MARGIN + len(roles) * _LEGEND_STEP
        parts.append(f'<text x="{x}" y="48" fill="{_FAINT}">dashed: only after a failure</text>')
    parts += [_edge(points) for _, _, points in placed.edges]
    parts += [line for box in sorted_boxes for line in _box(box, placed, sizes[box.id])]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _after_parents(drawn: Sequence[Box], order: dict[str, int]) -> list[Box]:
    """Each box after those that it waits for, otherwise in the pipeline's order."""
    done: dict[str, Box] = {}
    left = sorted(drawn, key=lambda box: order[box.id])
    while left:
        ready = next(box for box in left if all(parent in done for parent in box.parents))
        done[ready.id] = ready
        left.remove(ready)
    return list(done.values())


def _width(box: Box) -> int:
    longest = max(len(name) + len(limit) for name, limit in box.lines) + 2
    return round(longest * _LETTER) + 2 * _PADDING


def _edge(points: Sequence[tuple[float, float]]) -> str:
    # A curve between two ranks, a straight line beside a box that is passed.
    shifted = [(round(x) + _MARGIN, round(y) + _HEAD) for x, y in points]
    path = f"M{shifted[0][0]} {shifted[0][1]}"
    for index, ((x1, y1), (x2, y2)) in enumerate(pairwise(shifted)):
        middle = (y1 + y2) // 2
        path += f" C{x1} {middle} {x2} {middle} {x2} {y2}" if index % 2 == 0 else f" L{x2} {y2}"
    x, y = shifted[-1]
    return f'<path d="{path}" fill="none" stroke="{_EDGE}"/><path d="M{x - 4} {y - 7} L{x} {y} L{x + 4} {y - 7} Z" fill="{_EDGE}"/>'


def _box(box: Box, placed: Layout, size: tuple[int, int]) -> list[str]:
    width, height = size
    left = round(placed.places[box.id].x - width / 2) + _MARGIN
    top = round(placed.places[box.id].y) + _HEAD
    parts = [f'<rect x="{left}" y="{top}" width="{width}" height="{height}" rx="5" {_paint(box.role)}/>']
    for index, (name, limit) in enumerate(box.lines):
        y = top + _PADDING + index * _LINE + 13
        parts.append(f'<text x="{left + _PADDING}" y="{y}" fill="{_INK}">{escape(name)}</text>')
        parts.append(f'<text x="{left + width - _PADDING}" y="{y}" text-anchor="end" fill="{_FAINT}">{escape(limit)}</text>')
    return parts


def _paint(role: Role) -> str:
    dashes = ' stroke-dasharray="4 3"' if role in AFTER_FAILURE else ""
    return f'fill="{FILL[role]}" stroke="{STROKE[role]}"{dashes}'
