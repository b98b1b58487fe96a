"""Applications and pipelines."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from pipelines.model.canary import CanaryConfig
from pipelines.model.people import Notification
from pipelines.model.stages import Stage
from pipelines.model.triggers import Trigger

# Fixed for good: ids made from it are in every Spinnaker that was pushed to.
_NAMESPACE = UUID("0f3c9b1e-6d0a-5c43-9a51-7d6c1f8f2a10")

MANAGED_BY = "lorafleet"
"""The tag by which a pipeline is known as ours; what does not carry it is never touched."""


def pipeline_id(application: str, name: str) -> str:
    """The same id for the same pipeline on every machine."""
    return str(uuid5(_NAMESPACE, f"{application}/{name}"))


def canary_config_id(application: str) -> str:
    """The same id for an application's canary config on every machine; Kayenta takes ids of one's own."""
    return str(uuid5(_NAMESPACE, f"{application}/canary-config/"))


@dataclass(frozen=True)
class Parameter:
    """What a run is given. Orca does not enforce ``required``, only the page that people start it from does."""

    name: str
    label: str
    description: str
    default: str = ""
    required: bool = True

    def to_json(self) -> dict[str, Any]:
        """As the pipeline holds it."""
        return {
            "name": self.name,
            "label": self.label,
            "description": self.description,
            "default": self.default,
            "required": self.required,
            "pinned": True,
            "hasOptions": False,
            "options": [{"value": ""}],
        }


@dataclass(frozen=True)
class Application:
    """Spinnaker's application; ``email`` is who owns it, without which Front50 stores none."""

    name: str
    email: str
    description: str

    def to_json(self) -> dict[str, Any]:
        """The attributes of Orca's createApplication job."""
        return {
            "name": self.name,
            "email": self.email,
            "description": self.description,
            "cloudProviders": "kubernetes",
        }


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A pipeline. ``keep_waiting`` keeps each run that waits for another one's end, not the newest alone."""

    application: str
    name: str
    description: str
    stages: tuple[Stage, ...]
    parameters: tuple[Parameter, ...]
    triggers: tuple[Trigger, ...] = ()
    notifications: tuple[Notification, ...] = ()
    keep_waiting: bool = False

    @property
    def id(self) -> str:
        """Made from application and name."""
        return pipeline_id(self.application, self.name)

    def to_json(self) -> dict[str, Any]:
        """The pipeline as Front50 stores it."""
        return {
            "schema": "1",
            "application": self.application,
            "name": self.name,
            "id": self.id,
            "description": self.description,
            "keepWaitingPipelines": self.keep_waiting,
            "limitConcurrent": True,
            "maxConcurrentExecutions": 0,
            "disabled": False,
            # v4 evaluates a stage when it starts, not all of them at the beginning.
            "spelEvaluator": "v4",
            "respectQuietPeriod": False,
            "tags": [{"name": "managed-by", "value": MANAGED_BY}],
            "locked": {"ui": True, "allowUnlockUi": True, "description": "Generated from fleet.yaml: edit that and push again."},
            "parameterConfig": [parameter.to_json() for parameter in self.parameters],
            "expectedArtifacts": [],
            "triggers": [trigger.to_json() for trigger in self.triggers],
            "notifications": [notification.to_json() for notification in self.notifications],
            "stages": [stage.to_json() for stage in self.stages],
        }


@dataclass(frozen=True)
class Delivery:
    """All that is pushed for one ``fleet.yaml``; a canary config only where the spec asks for an analysis."""

    application: Application
    pipelines: tuple[Pipeline, ...]
    canary_config: CanaryConfig | None = None
