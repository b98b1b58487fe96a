"""What Spinnaker tells people, and when it lets a run begin."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Notification:
    """A message about a run; ``texts`` by the event, without SpEL, which is evaluated before the run begins."""

    type: str
    address: str
    when: tuple[str, ...]
    texts: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As the pipeline holds it."""
        events = [f"pipeline.{event}" for event in self.when]
        notification: dict[str, Any] = {"type": self.type, "level": "pipeline", "address": self.address, "when": events}
        if self.texts:
            notification["message"] = {f"pipeline.{event}": {"text": text} for event, text in self.texts.items()}
        return notification


@dataclass(frozen=True)
class StageNotification:
    """A message when a stage starts. One that is not enabled does not start and tells nothing."""

    type: str
    address: str
    text: str
    event: str = "stage.starting"

    def to_json(self) -> dict[str, Any]:
        """As the stage holds it."""
        return {
            "type": self.type,
            "level": "stage",
            "address": self.address,
            "when": [self.event],
            "message": {self.event: {"text": self.text}},
        }


@dataclass(frozen=True)
class Hours:
    """From one minute of a day to another."""

    start: tuple[int, int]
    end: tuple[int, int]

    def to_json(self) -> dict[str, int]:
        """As Orca's ``RestrictExecutionDuringTimeWindow`` reads it."""
        return {"startHour": self.start[0], "startMin": self.start[1], "endHour": self.end[0], "endMin": self.end[1]}


@dataclass(frozen=True)
class ExecutionWindow:
    """When a stage may start. ``days`` count from Sunday, 1, and hold for all hours; the time zone is Orca's own setting."""

    days: tuple[int, ...]
    hours: tuple[Hours, ...]
    skip_text: str

    def to_json(self) -> dict[str, Any]:
        """The keys of the stage."""
        return {
            "restrictExecutionDuringTimeWindow": True,
            "restrictedExecutionWindow": {
                "days": list(self.days),
                "whitelist": [hours.to_json() for hours in self.hours],
                "jitter": {"enabled": False, "skipManual": False, "minDelay": 0, "maxDelay": 600},
            },
            "skipWindowText": self.skip_text,
        }
