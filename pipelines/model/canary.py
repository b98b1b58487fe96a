"""Kayenta's parts: the stage that asks for an analysis, and the config that it is made by, which is no part of a pipeline."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from pipelines.model.stages import Json, Stage

PROMQL = "PromQL:"
"""In front of an inline template it makes Kayenta take the rest as it stands, instead of building a query of its own."""

MANAGED = "managed-by: lorafleet"
"""A config has no tags; one whose description does not end so is never touched."""


@dataclass(frozen=True, kw_only=True)
class AnalysedMetric:
    """One metric of a config. ``template`` is PromQL with FreeMarker's ``${scope}`` and ``${location}``, which are not SpEL.

    ``direction`` says which way is worse: ``increase`` or ``decrease``.
    """

    name: str
    template: str
    direction: str
    weight: int
    critical: bool

    def to_json(self) -> Json:
        """Each metric is a group of its own, so that its weight is its own. Without data it fails."""
        return {
            "name": self.name,
            "scopeName": "default",
            "groups": [self.name],
            "query": {
                "type": "prometheus",
                "serviceType": "prometheus",
                "metricName": self.name,
                "customInlineTemplate": PROMQL + self.template,
            },
            "analysisConfigurations": {
                "canary": {
                    "direction": self.direction,
                    "critical": self.critical,
                    "mustHaveData": True,
                    "nanStrategy": "remove",
                    "outliers": {"strategy": "keep"},
                }
            },
        }


@dataclass(frozen=True, kw_only=True)
class CanaryConfig:
    """What is compared and how much it counts. ``account`` is where Kayenta keeps it; weights add up to 100."""

    id: str
    name: str
    application: str
    account: str
    metrics: tuple[AnalysedMetric, ...]

    def to_json(self) -> Json:
        """As Kayenta stores it."""
        return {
            "id": self.id,
            "name": self.name,
            "description": f"Generated from fleet.yaml: edit that and push again. {MANAGED}",
            "configVersion": "1",
            "applications": [self.application],
            "judge": {"name": "NetflixACAJudge-v1.0", "judgeConfigurations": {}},
            "metrics": [metric.to_json() for metric in self.metrics],
            "templates": {},
            "classifier": {"groupWeights": {metric.name: metric.weight for metric in self.metrics}},
        }


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What is compared, both at one ``location``; a text each for ``${scope}`` and one for ``${location}`` of the templates."""

    control: str
    experiment: str
    location: str

    def to_json(self) -> Json:
        """``step`` is in seconds: a point a minute."""
        return {
            "scopeName": "default",
            "controlScope": self.control,
            "controlLocation": self.location,
            "experimentScope": self.experiment,
            "experimentLocation": self.location,
            "step": 60,
            "extendedScopeParams": {},
        }


@dataclass(frozen=True, kw_only=True)
class KayentaCanary(Stage):
    """An analysis while it happens. At or below ``marginal`` it fails at once, at the end it needs ``passing``."""

    type: ClassVar[str] = "kayentaCanary"
    config_id: str
    metrics_account: str
    storage_account: str
    configuration_account: str
    scope: Scope
    lifetime: timedelta
    interval: timedelta
    marginal: int
    passing: int

    def _body(self) -> dict[str, Any]:
        """Numbers are texts, as Deck writes them, and only whole minutes can be said."""
        return {
            "analysisType": "realTime",
            "canaryConfig": {
                "canaryConfigId": self.config_id,
                "metricsAccountName": self.metrics_account,
                "storageAccountName": self.storage_account,
                "configurationAccountName": self.configuration_account,
                "scopes": [self.scope.to_json()],
                "scoreThresholds": {"marginal": str(self.marginal), "pass": str(self.passing)},
                "lifetimeDuration": f"PT{self.lifetime // timedelta(minutes=1)}M",
                "beginCanaryAnalysisAfterMins": "0",
                "canaryAnalysisIntervalMins": str(self.interval // timedelta(minutes=1)),
                "lookbackMins": "0",
            },
        }
