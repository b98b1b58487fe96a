"""Pages of the documentation that are made from code: ``python -m MODULE FILE``, by ``make docs``."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from lorafleet.contracts.outcomes import ExitCode


def write_page(arguments: Sequence[str], render: Callable[[], str], command: str) -> int:
    """Write what ``render`` gives to the one path that ``arguments`` names, unless ``CI`` is set, and return the exit code.

    ``command`` is shown as the way to call it rightly.
    """
    if len(arguments) != 1 or os.environ.get("CI"):
        print(f"error: name one file, and run it on your own machine ({command})", file=sys.stderr)
        return ExitCode.USAGE
    Path(arguments[0]).write_text(render(), encoding="utf-8")
    return ExitCode.FINISHED
