"""JSON that is the same every time."""

import json

from pipelines.model.pipeline import Pipeline


def render_json(pipeline: Pipeline) -> str:
    """Keys sorted, two spaces, a line's end at the end."""
    return json.dumps(pipeline.to_json(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
