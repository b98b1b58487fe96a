import ast
from pathlib import Path

import pytest

from lorafleet.contracts.metrics import CONSOLE, METRICS, TRAINER, TRAINER_PREFIX, Kind, Metric

ROOT = Path(__file__).parents[3]


def test_names_are_unique_and_follow_prometheus_rules() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    for metric in METRICS:
        assert (metric.kind is Kind.COUNTER) == metric.name.endswith("_total"), metric.name
        assert (metric.kind is Kind.HISTOGRAM) == bool(metric.buckets), metric.name
        assert list(metric.buckets) == sorted(set(metric.buckets))
        assert metric.help.endswith(".")
        assert len(set(metric.labels)) == len(metric.labels)
        if metric.kind is Kind.HISTOGRAM:
            assert metric.name.endswith(f"_{metric.unit}")


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_the_client_library_takes_and_exports_each(metric: Metric) -> None:
    import prometheus_client

    registry = prometheus_client.CollectorRegistry()
    if metric.kind is Kind.HISTOGRAM:
        prometheus_client.Histogram(metric.name, metric.help, metric.labels, registry=registry, buckets=metric.buckets)
    else:
        made = {Kind.COUNTER: prometheus_client.Counter, Kind.GAUGE: prometheus_client.Gauge}[metric.kind]
        made(metric.name, metric.help, metric.labels, registry=registry)
    text = prometheus_client.generate_latest(registry).decode()
    assert f"# HELP {metric.name} {metric.help}" in text
    assert f"# TYPE {metric.name} {metric.kind}" in text


def test_the_autoscaler_reads_desired_workers_by_site_and_release() -> None:
    (metric,) = [metric for metric in CONSOLE if metric.name == "desired_workers"]
    assert (metric.kind, metric.labels) == (Kind.GAUGE, ("site", "release"))


def test_the_table_holds_every_scalar_that_the_loop_logs() -> None:
    # The keys of the mappings that the loop hands to its loggers, read from its source.
    tree = ast.parse((ROOT / "trainer" / "loop.py").read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name in ("_log", "_validate")]
    keys = {
        key.value
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant)
    }
    assert {"loss", "validation_loss", "learning_rate"} <= keys
    assert {TRAINER_PREFIX + key for key in keys} <= {metric.name for metric in TRAINER}
