from itertools import combinations
from xml.etree import ElementTree

from fleets import compiled, example
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.render import render_mermaid, render_svg, stage_table
from pipelines.render.layout import Node, layout


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[Node], list[tuple[str, str]]]:
    count = draw(st.integers(1, 12))
    nodes = [Node(str(index), draw(st.integers(20, 200)), draw(st.integers(10, 60))) for index in range(count)]
    pairs = list(combinations(map(str, range(count)), 2))
    return nodes, draw(st.lists(st.sampled_from(pairs), unique=True, max_size=20)) if pairs else []


@settings(max_examples=100, deadline=None)
@given(graphs())
def test_boxes_never_overlap_and_edges_go_down(graph: tuple[list[Node], list[tuple[str, str]]]) -> None:
    nodes, edges = graph
    placed = layout(nodes, edges)
    for one, other in combinations(nodes, 2):
        first, second = placed.places[one.id], placed.places[other.id]
        beside = abs(first.x - second.x) >= (one.width + other.width) / 2
        assert beside or first.y + one.height <= second.y or second.y + other.height <= first.y
    for node in nodes:
        assert placed.places[node.id].x - node.width / 2 >= -1e-6
        assert placed.places[node.id].x + node.width / 2 <= placed.width + 1e-6
        assert placed.places[node.id].y + node.height <= placed.height + 1e-6
    heights = {node.id: node.height for node in nodes}
    assert [(parent, child) for parent, child, _ in placed.edges] == edges
    for parent, child, points in placed.edges:
        assert points[0] == (placed.places[parent].x, placed.places[parent].y + heights[parent])
        assert points[-1] == (placed.places[child].x, placed.places[child].y)
        assert [y for _, y in points] == sorted(y for _, y in points)
    assert layout(nodes, edges) == placed


@settings(max_examples=50, deadline=None)
@given(graphs())
def test_an_edge_that_passes_a_rank_runs_beside_its_boxes(graph: tuple[list[Node], list[tuple[str, str]]]) -> None:
    nodes, edges = graph
    placed = layout(nodes, edges)
    for _, _, points in placed.edges:
        for (x, top), (_, bottom) in zip(points[1:-1:2], points[2:-1:2], strict=True):
            for node in nodes:
                place = placed.places[node.id]
                apart = place.y >= bottom or place.y + node.height <= top
                assert apart or abs(place.x - x) >= node.width / 2


def test_every_stage_is_drawn_with_its_limit() -> None:
    for pipeline in compiled(example()):
        rows = stage_table(pipeline)
        assert [row.ref_id for row in rows] == [stage.ref_id for stage in pipeline.stages]
        texts = [element.text for element in ElementTree.fromstring(render_svg(pipeline)).iter() if element.text]
        mermaid = render_mermaid(pipeline)
        for row in rows:
            assert texts.count(row.name) == 1
            assert f"{row.name} · {row.limit}" in mermaid


def test_the_table_says_what_happens() -> None:
    rows = {row.ref_id: row for row in stage_table(compiled(example())[0])}
    assert rows["warm-gcp-us-west1"].limit == "30m"
    assert (rows["released"].limit, rows["released"].on_failure) == ("≤ 1m", "ends the run")
    assert rows["promote"].after == ("approve-promote-1",)
    assert rows["quorum"].on_failure == "goes on"
