"""Orca's tasks, through which Gate changes applications and pipelines."""

from collections.abc import Mapping
from typing import Any

from pipelines.gate.client import Gate
from pipelines.rest import ServiceError

RUNNING = frozenset({"NOT_STARTED", "RUNNING", "BUFFERED", "PAUSED", "SUSPENDED"})
_POLLS = 60


def finished(gate: Gate, task: str) -> Mapping[str, Any]:
    """Poll a task until it ends, a minute at Gate's pace.

    Raises:
        ServiceError: it does not end in that time.
    """
    for _ in range(_POLLS):
        found = gate.task(task)
        if found.get("status") not in RUNNING:
            return found
        gate.rest.sleep(gate.rest.pace.poll)
    raise ServiceError(f"Spinnaker's task {task} does not end", hint="look whether Orca is well, then run the same command again")


def failure(task: Mapping[str, Any]) -> str:
    """What a failed task says, or nothing."""
    for variable in task.get("variables") or ():
        if variable.get("key") == "exception":
            errors = ((variable.get("value") or {}).get("details") or {}).get("errors") or ()
            return " ".join(str(next(iter(errors), "")).split())
    return ""


def upsert_application(gate: Gate, attributes: Mapping[str, Any]) -> None:
    """Make an application, or set its attributes.

    Raises:
        ServiceError: the task failed.
    """
    name = str(attributes["name"])
    job = {"type": "createApplication", "application": dict(attributes), "user": "lorafleet"}
    task = finished(gate, gate.start_task(name, f"Create application {name}", job))
    if task.get("status") != "SUCCEEDED":
        said = failure(task)
        raise ServiceError(f"Spinnaker did not make the application '{name}'" + (f": {said}" if said else ""), text=said)
