"""What a worker says on its terminal: a line for people, or a JSON object for machines."""

import json
import sys
import time
from typing import IO, Any


class Voice:
    """Speaks on ``out``, line by line."""

    def __init__(self, as_json: bool, out: IO[str] | None = None) -> None:
        self._as_json = as_json
        self._out = out or sys.stdout

    def say(self, event: str, text: str, **values: Any) -> None:
        """Say ``text``; for machines ``event`` and ``values`` besides."""
        if self._as_json:
            text = json.dumps({"event": event, "at": round(time.time(), 3), "text": text, **values})
        else:
            text = "".join(character if character.isprintable() else " " for character in text)
        self._out.write(text + "\n")
        self._out.flush()
