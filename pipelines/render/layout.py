"""Where boxes and edges of a graph without cycles go: ranks from top to bottom, few crossings, edges around boxes.

The usual steps of Sugiyama, Tagawa and Toda (1981): longest-path ranks, a point on each rank that an edge passes, orders by barycentre
with the fewest crossings kept, then columns pulled towards their neighbours. No randomness, so the same graph is drawn the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_SWEEPS = 16
_PULLS = 24
_GAP = 22.0
_POINT = 6.0
_RANK_GAP = 40.0


@dataclass(frozen=True)
class Node:
    """A box to be placed, in pixels."""

    id: str
    width: float
    height: float


@dataclass(frozen=True)
class Place:
    """The middle of a box's top edge is at ``x``, ``y``."""

    x: float
    y: float


@dataclass(frozen=True)
class Layout:
    """Places by id, and for each edge the points from its parent's bottom to its child's top."""

    places: Mapping[str, Place]
    edges: Sequence[tuple[str, str, tuple[tuple[float, float], ...]]]
    width: float
    height: float


@dataclass
class _Graph:
    ranks: list[list[str]]
    widths: dict[str, float]
    up: dict[str, list[str]]
    down: dict[str, list[str]]


def layout(nodes: Sequence[Node], edges: Sequence[tuple[str, str]]) -> Layout:
    """Place a graph. ``nodes`` stand in an order in which each comes after those that point to it.

    Raises:
        KeyError: an edge leads to a node that is not there, or from a later one.
    """
    rank: dict[str, int] = {}
    for node in nodes:
        rank[node.id] = max((rank[parent] + 1 for parent, child in edges if child == node.id), default=0)
    graph, chains = _with_points(nodes, edges, rank)
    _order(graph)
    columns = _columns(graph)
    left = min(columns[node.id] - node.width / 2 for node in nodes)
    tops, height = _tops(nodes, rank, len(graph.ranks))
    heights = {node.id: node.height for node in nodes}
    places = {node.id: Place(columns[node.id] - left, tops[rank[node.id]]) for node in nodes}
    drawn = []
    for (parent, child), chain in zip(edges, chains, strict=True):
        points = [(places[parent].x, places[parent].y + heights[parent])]
        for offset, point in enumerate(chain, start=1):
            row = tops[rank[parent] + offset]
            deepest = max((heights[name] for name in graph.ranks[rank[parent] + offset] if name in heights), default=0.0)
            points += [(columns[point] - left, row), (columns[point] - left, row + deepest)]
        drawn.append((parent, child, (*points, (places[child].x, places[child].y))))
    edge_of = max(place.x + node.width / 2 for node in nodes for place in (places[node.id],))
    furthest = max([edge_of, *(x for _, _, points in drawn for x, _ in points)])
    return Layout(places, drawn, furthest, height)


def _with_points(
    nodes: Sequence[Node], edges: Sequence[tuple[str, str]], rank: Mapping[str, int]
) -> tuple[_Graph, list[list[str]]]:
    ranks: list[list[str]] = [[] for _ in range(max(rank.values()) + 1)]
    for node in nodes:
        ranks[rank[node.id]].append(node.id)
    graph = _Graph(ranks, {node.id: node.width for node in nodes}, {node.id: [] for node in nodes}, {node.id: [] for node in nodes})
    chains = []
    for number, (parent, child) in enumerate(edges):
        chain = [f"\0{number}\0{step}" for step in range(rank[parent] + 1, rank[child])]
        for step, point in enumerate(chain, start=rank[parent] + 1):
            ranks[step].append(point)
            graph.widths[point] = _POINT
            graph.up[point], graph.down[point] = [], []
        for upper, lower in zip([parent, *chain], [*chain, child], strict=True):
            graph.down[upper].append(lower)
            graph.up[lower].append(upper)
        chains.append(chain)
    return graph, chains


def _order(graph: _Graph) -> None:
    best, fewest = [list(row) for row in graph.ranks], _crossings(graph)
    for sweep in range(_SWEEPS):
        downwards = sweep % 2 == 0
        neighbours = graph.up if downwards else graph.down
        for row in graph.ranks if downwards else reversed(graph.ranks):
            position = _positions(graph)
            place = {name: _mean([position[other] for other in neighbours[name]], position[name]) for name in row}
            row.sort(key=place.__getitem__)
        crossings = _crossings(graph)
        if crossings < fewest:
            best, fewest = [list(row) for row in graph.ranks], crossings
    graph.ranks[:] = best


def _positions(graph: _Graph) -> dict[str, float]:
    # As parts of the row, so that rows of different lengths can be compared.
    return {name: (index + 0.5) / len(row) for row in graph.ranks for index, name in enumerate(row)}


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _crossings(graph: _Graph) -> int:
    found = 0
    for upper in graph.ranks:
        position = {name: index for row in graph.ranks for index, name in enumerate(row)}
        ends = [position[lower] for name in upper for lower in sorted(graph.down[name], key=position.__getitem__)]
        found += sum(1 for index, end in enumerate(ends) for later in ends[index + 1 :] if later < end)
    return found


def _columns(graph: _Graph) -> dict[str, float]:
    column: dict[str, float] = {}
    for row in graph.ranks:
        at = 0.0
        for name in row:
            column[name] = at + graph.widths[name] / 2
            at += graph.widths[name] + _GAP
    # Towards the children on the way up and towards the parents on the way down, down last: so a chain hangs straight.
    for pull in range(_PULLS):
        downwards = pull % 2 == 1
        neighbours = graph.up if downwards else graph.down
        for row in graph.ranks if downwards else reversed(graph.ranks):
            wanted = [_mean([column[other] for other in neighbours[name]], column[name]) for name in row]
            column.update(zip(row, _apart(wanted, [graph.widths[name] for name in row]), strict=True))
    return column


def _apart(wanted: Sequence[float], widths: Sequence[float]) -> list[float]:
    """As near to what is wanted as gaps allow: the middle between pushing everything right and pushing it left."""
    rightwards, leftwards = list(wanted), list(wanted)
    for index in range(1, len(wanted)):
        needed = (widths[index - 1] + widths[index]) / 2 + _GAP
        rightwards[index] = max(rightwards[index], rightwards[index - 1] + needed)
    for index in range(len(wanted) - 2, -1, -1):
        needed = (widths[index] + widths[index + 1]) / 2 + _GAP
        leftwards[index] = min(leftwards[index], leftwards[index + 1] - needed)
    return [(one + other) / 2 for one, other in zip(rightwards, leftwards, strict=True)]


def _tops(nodes: Sequence[Node], rank: Mapping[str, int], rows: int) -> tuple[list[float], float]:
    tops, at = [], 0.0
    for row in range(rows):
        tops.append(at)
        at += max(node.height for node in nodes if rank[node.id] == row) + _RANK_GAP
    return tops, at - _RANK_GAP
