"""Approvals, notifications and windows of ``fleet.yaml`` as Spinnaker has them."""

from collections.abc import Sequence
from datetime import time

from lorafleet.contracts.fleet import Approval, FleetSpec, Window
from lorafleet.contracts.problems import ConfigError
from pipelines.model.expressions import Expression, Status, is_
from pipelines.model.failure import FailureStrategy
from pipelines.model.people import ExecutionWindow, Hours, Notification, StageNotification
from pipelines.model.stages import ManualJudgment, Role, Stage

# Spinnaker counts days as java.util.Calendar does.
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

_INSTRUCTIONS = {
    "start": "Shall this release begin?",
    "promote": "The candidate has passed its watches. Shall it get all requests?",
}


def approvals(
    asked: Sequence[Approval], parents: tuple[Stage, ...], failure: FailureStrategy, enabled: Expression | None = None
) -> tuple[ManualJudgment, ...]:
    """One judgment after the other; each is asked only if the one before it was given."""
    stages: list[ManualJudgment] = []
    for number, approval in enumerate(asked, start=1):
        stage = ManualJudgment(
            ref_id=f"approve-{approval.before}-{number}",
            name=f"Approve {approval.before} {number}",
            role=Role.APPROVAL,
            limit=approval.timeout,
            parents=parents,
            failure=failure,
            enabled=enabled,
            instructions=approval.instructions or _INSTRUCTIONS[approval.before],
            roles=approval.roles,
        )
        stages.append(stage)
        parents = (stage,)
        enabled = None if failure is FailureStrategy.HALT_PIPELINE else is_(stage, Status.SUCCEEDED)
    return tuple(stages)


def notifications(spec: FleetSpec, what: str) -> tuple[Notification, ...]:
    """Messages about a run of a pipeline; ``what`` names it in their text."""
    return tuple(
        Notification(
            asked.type,
            asked.address,
            tuple(event.value for event in asked.when),
            {event.value: f"{what} of {spec.application}: {event.value}" for event in asked.when},
        )
        for asked in spec.notifications
    )


def site_notifications(spec: FleetSpec, text: str) -> tuple[StageNotification, ...]:
    """The same people are told about one site."""
    return tuple(StageNotification(asked.type, asked.address, text) for asked in spec.notifications)


def window(windows: Sequence[Window]) -> ExecutionWindow | None:
    """Spinnaker's window; None where releases may begin at any time.

    Raises:
        ConfigError: the windows cannot be said in Spinnaker's way: one list of days, one time zone.
    """
    if not windows:
        return None
    zones = {window.time_zone for window in windows}
    if len(zones) > 1:
        raise ConfigError("windows: they are in different time zones", hint="Spinnaker reads all of them in its own; write one")
    days = {frozenset(window.days) for window in windows}
    if len(days) > 1:
        raise ConfigError("windows: they are on different days", hint="Spinnaker has one list of days for all hours; write one")
    if len(next(iter(days))) < len(_DAYS) and any(_passes_midnight(window) for window in windows):
        raise ConfigError(
            "windows: one passes midnight, and Spinnaker would count the hours after it to the wrong day",
            hint="name all seven days, or end it at 23:59",
        )
    zone = next(iter(zones))
    where = f"The times are those of {zone}; set tasks.execution-window.timezone of Orca to it. " if zone else ""
    return ExecutionWindow(
        tuple(number for number, day in enumerate(_DAYS, start=1) if day in windows[0].days),
        tuple(Hours(_minute(window.start), _minute(window.end)) for window in windows),
        f"{where}Begin outside the window?",
    )


def _passes_midnight(window: Window) -> bool:
    return window.end < window.start


def _minute(moment: time) -> tuple[int, int]:
    return moment.hour, moment.minute
