"""What starts a pipeline besides a person."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WEBHOOK_SECRET = "<webhook secret, set when the pipeline is pushed>"  # noqa: S105
"""Stands where the secret of a webhook trigger goes. Whoever pushes puts the secret in; it never lies in a rendered file."""


@dataclass(frozen=True)
class PipelineTrigger:
    """Another pipeline ended with one of these statuses; ``pipeline`` is its id, never its name."""

    application: str
    pipeline: str
    status: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As the pipeline holds it."""
        return {
            "type": "pipeline",
            "enabled": True,
            "application": self.application,
            "pipeline": self.pipeline,
            "status": list(self.status),
        }


@dataclass(frozen=True)
class WebhookTrigger:
    """A POST to Gate's ``/webhooks/webhook/<source>``, whose only authentication are the constraints on its payload."""

    source: str
    constraints: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """As the pipeline holds it."""
        return {"type": "webhook", "enabled": True, "source": self.source, "payloadConstraints": dict(self.constraints)}


Trigger = PipelineTrigger | WebhookTrigger
