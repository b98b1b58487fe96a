"""Following an execution to its end."""

import time
from collections.abc import Callable

from lorafleet.contracts.problems import LorafleetError
from pipelines.gate.client import Gate
from pipelines.gate.execution import Run, read_execution
from pipelines.rest import NotFound, Unreachable, Unwell

# Gate may be restarted while a release runs for hours.
PATIENCE = 300.0


class NotGood(LorafleetError):
    """The execution ended otherwise than it should."""


def follow(gate: Gate, execution: str, show: Callable[[Run], None], *, patience: float = PATIENCE) -> Run:
    """Poll an execution, at Gate's pace, until it has ended; a Gate that is away is waited for ``patience`` seconds.

    Raises:
        ServiceError: there is no such execution, Gate does not let us look, or it stays away.
    """
    last_seen = time.monotonic()
    while True:
        try:
            run = read_execution(gate.execution(execution))
            last_seen = time.monotonic()
        except NotFound:
            raise LorafleetError(f"Gate knows no execution '{execution}'", hint="its id is what 'release run' prints") from None
        except (Unreachable, Unwell):
            if time.monotonic() - last_seen > patience:
                raise
        else:
            show(run)
            if run.over:
                return run
        gate.rest.sleep(gate.rest.pace.poll)


def raise_unless_good(run: Run) -> None:
    """See that a run that has ended succeeded.

    Raises:
        NotGood: it did not; the line names the stages that went wrong.
    """
    if run.good:
        return
    named = ", ".join(f"{stage.name}" + (f" ({stage.detail})" if stage.detail else "") for stage in run.failed_stages[:3])
    raise NotGood(f"{run.application}/{run.name} ended {run.status}" + (f": {named}" if named else ""))
