"""The log as JSON lines: what the loss picture, scripts and the console read."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from lorafleet.whole_files import write_whole
from trainer.loggers.base import RunFacts

FILE_NAME = "log.jsonl"


class JsonLinesLogger:
    """``OUTPUT_DIR/log.jsonl``: an object a line with ``step`` and numbers; each step stands there once, also after a resume."""

    def __init__(self) -> None:
        self._file: IO[str] | None = None

    def start(self, run: RunFacts) -> None:
        """See :class:`~trainer.loggers.base.Logger`."""
        path = run.directory / FILE_NAME
        lines = [line for line in read_log(path) if line["step"] <= run.resumed_step] if run.resumed_step else []
        write_whole(path, "".join(json.dumps(line) + "\n" for line in lines))
        self._file = path.open("a", encoding="utf-8")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """See :class:`~trainer.loggers.base.Logger`."""
        # JSON has no word for infinity, which a gradient's norm may be under fp16.
        self._write({"step": step, **{name: value if math.isfinite(value) else None for name, value in values.items()}})

    def image(self, step: int, name: str, path: Path) -> None:
        """See :class:`~trainer.loggers.base.Logger`."""
        self._write({"step": step, "image": name, "file": "/".join(path.parts[-3:])})

    def text(self, step: int, name: str, text: str) -> None:
        """See :class:`~trainer.loggers.base.Logger`."""
        self._write({"step": step, "text": name, "value": text})

    def finish(self, ended: str) -> None:
        """See :class:`~trainer.loggers.base.Logger`."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, values: Mapping[str, Any]) -> None:
        assert self._file is not None
        self._file.write(json.dumps(values, ensure_ascii=False) + "\n")
        self._file.flush()


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines that can be read; the last one of a killed process may be cut short."""
    if not path.exists():
        return []
    lines = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and isinstance(value.get("step"), int):
            lines.append(value)
    return lines
