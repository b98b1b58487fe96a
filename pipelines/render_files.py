"""What ``release render`` writes: a pipeline as JSON, as Mermaid and as SVG, the application, and Kayenta's config if asked for."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.model.canary import CanaryConfig
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
    whole: dict[str, Any] = {
        "application": delivery.application.to_json(),
        "pipelines": [pipeline.to_json() for pipeline in delivery.pipelines],
    }
    if delivery.canary_config is not None:
        whole["canaryConfig"] = delivery.canary_config.to_json()
    return whole


def render_config(config: CanaryConfig) -> str:
    """Kayenta's config as it is written to a file; its ``${scope}`` and ``${location}`` are Kayenta's, not SpEL."""
    return _json(config.to_json())


def _files(delivery: Delivery) -> Iterator[tuple[str, str]]:
    from pipelines.render import render_json, render_mermaid, render_svg

    yield "application.json", _json(delivery.application.to_json())
    if delivery.canary_config is not None:
        yield "canary-config.json", render_config(delivery.canary_config)
    for pipeline in delivery.pipelines:
        yield f"{pipeline.name}.json", render_json(pipeline)
        yield f"{pipeline.name}.mmd", render_mermaid(pipeline)
        yield f"{pipeline.name}.svg", render_svg(pipeline)


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2, sort_keys=True) + "\n"
