"""What ``release render`` writes: a pipeline as JSON, as Mermaid and as SVG, and the application."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.model.pipeline import Delivery
from pipelines.text_files import write_whole


def write_delivery(delivery: Delivery, folder: Path) -> list[Path]:
    """Write the files and say which.

    Raises:
        StorageError: one cannot be written.
    """
    written = []
    for name, text in _files(delivery):
        write_whole(folder / name, text)
        written.append(folder / name)
    return written


def delivery_json(delivery: Delivery) -> dict[str, Any]:
    """All of it in one object."""
    return {"application": delivery.application.to_json(), "pipelines": [pipeline.to_json() for pipeline in delivery.pipelines]}


def _files(delivery: Delivery) -> Iterator[tuple[str, str]]:
    from pipelines.render import render_json, render_mermaid, render_svg

    yield "application.json", json.dumps(delivery.application.to_json(), indent=2, sort_keys=True) + "\n"
    for pipeline in delivery.pipelines:
        yield f"{pipeline.name}.json", render_json(pipeline)
        yield f"{pipeline.name}.mmd", render_mermaid(pipeline)
        yield f"{pipeline.name}.svg", render_svg(pipeline)
