"""A pipeline as text: sorted JSON, and pictures and a table of its stages with their time limits."""

from pipelines.render.mermaid import render_mermaid
from pipelines.render.svg import render_svg
from pipelines.render.table import StageRow, stage_table
from pipelines.render.text import render_json

__all__ = ["StageRow", "render_json", "render_mermaid", "render_svg", "stage_table"]
