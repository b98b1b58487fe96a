"""The traps of Spinnaker as rules: ``lint`` for what was compiled, ``lint_json`` for a pipeline from anywhere."""

from collections.abc import Mapping
from typing import Any

from pipelines.lint import canary, expressions, failure, graph, kubernetes, pods, starting, webhooks
from pipelines.lint.findings import Finding, Rule, Severity
from pipelines.lint.view import PipelineView
from pipelines.model.pipeline import Delivery

__all__ = ["RULES", "Finding", "Rule", "Severity", "lint", "lint_json"]

RULES: tuple[Rule, ...] = (
    *graph.RULES,
    *failure.RULES,
    *expressions.RULES,
    *kubernetes.RULES,
    *pods.RULES,
    *webhooks.RULES,
    *starting.RULES,
    *canary.RULES,
)
"""Every rule, by code."""


def lint(delivery: Delivery) -> list[Finding]:
    """All findings in all pipelines."""
    return [finding for pipeline in delivery.pipelines for finding in lint_json(pipeline.to_json())]


def lint_json(pipeline: Mapping[str, Any]) -> list[Finding]:
    """All findings in one pipeline, wherever it is from, by rule. A strange shape is no error: what is not there is not found."""
    view = PipelineView(pipeline)
    return [finding for rule in RULES for finding in rule.findings(view)]
