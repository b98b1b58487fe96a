"""Prometheus's rules: what the release conditions are made of, and when people are called. Pure.

The guard judges by the console's own counts, second by second; these are the same quantities over five minutes, for dashboards, for
canary analysis and for alerts when the guard itself is away. :mod:`lorafleet.console.domain.judgement` defines them.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from lorafleet.contracts import metrics
from lorafleet.contracts.conditions import MEASURED, Condition
from lorafleet.contracts.outcomes import OutcomeClass
from lorafleet.contracts.release import MIN_SAMPLES

Rule = dict[str, Any]

_BY = "by (site, release)"
_WINDOW = "5m"
_SAMPLES = f"{OutcomeClass.SUCCEEDED}|{OutcomeClass.RELEASE}"

SAMPLES = "lorafleet:samples:increase5m"
ERROR_RATE = "lorafleet:error_rate:ratio5m"
LATENCY = "lorafleet:first_heartbeat_seconds:p75_5m"
WAITING = "lorafleet:job_waiting_seconds:p95_5m"
MISSING_WORKERS = "lorafleet:missing_workers"
GPU_USE = "lorafleet:gpu_utilization:ratio"

RECORDED = {"errorRate": ERROR_RATE, "latency": LATENCY}
"""The recording rule of each condition that the console measures."""


def rule_groups(conditions: Iterable[Condition]) -> dict[str, Any]:
    """The whole file of rules. Where a site scrapes no GPUs or no KEDA, their rules find no series and stay silent."""
    groups = {
        "lorafleet-releases": _recorded(),
        "lorafleet-alerts": _alerts(conditions),
        "lorafleet-gpus": _gpus(),
        "lorafleet-monitoring": _watchers(),
    }
    return {"groups": [{"name": name, "rules": list(rules)} for name, rules in groups.items()]}


def _recorded() -> Iterator[Rule]:
    ended = metrics.ATTEMPTS_ENDED.name
    # max: each replica of the console exports the ledger's own counts.
    failed = f'max {_BY} (increase({ended}{{outcome="{OutcomeClass.RELEASE}"}}[{_WINDOW}]))'
    each = f'max by (site, release, outcome) (increase({ended}{{outcome=~"{_SAMPLES}"}}[{_WINDOW}]))'
    yield _record(SAMPLES, f"sum {_BY} ({each})")
    # Where nothing failed there is no series of failures, and the rate is zero; where nothing ended there is no rate.
    yield _record(ERROR_RATE, f"(({failed}) or ({SAMPLES} * 0)) / ({SAMPLES} > 0)")
    yield _record(
        LATENCY, f"histogram_quantile(0.75, sum by (site, release, le) (rate({metrics.FIRST_HEARTBEAT.name}_bucket[{_WINDOW}])))"
    )
    yield _record(WAITING, f"histogram_quantile(0.95, sum by (site, le) (rate({metrics.WAITING.name}_bucket[{_WINDOW}])))")
    yield _record(
        MISSING_WORKERS,
        f"clamp_min(max {_BY} ({metrics.DESIRED_WORKERS.name}) - (max {_BY} ({metrics.WORKERS.name}) or"
        f" (max {_BY} ({metrics.DESIRED_WORKERS.name}) * 0)), 0)",
    )


def _alerts(conditions: Iterable[Condition]) -> Iterator[Rule]:
    for condition in conditions:
        if condition.metric in MEASURED:
            yield _condition(condition)
    yield _alert(
        "LorafleetGuardBreach",
        f"increase({metrics.GUARD_BREACHES.name}[10m]) > 0",
        "0m",
        "warning",
        "The guard took release {{ $labels.release }} back: {{ $labels.condition }}.",
    )
    yield _alert(
        "LorafleetConsoleUnheard",
        'up{job="console"} == 0 or absent(up{job="console"})',
        "2m",
        "critical",
        "The console answers no scrape: KEDA leaves the workers as they are, and no release is guarded.",
    )
    yield _alert(
        "LorafleetWorkersMissing",
        f"{MISSING_WORKERS} > 0",
        "15m",
        "warning",
        "Site {{ $labels.site }} lacks {{ $value }} workers of release {{ $labels.release }}: are there nodes, quota, the image?",
    )
    yield _alert(
        "LorafleetLeasesExpire",
        f"sum by (site) (max by (site, release) (increase({metrics.LEASES_EXPIRED.name}[15m]))) > 3",
        "0m",
        "warning",
        "Workers of site {{ $labels.site }} go silent: {{ $value }} leases ran out in 15 minutes.",
    )
    yield _alert(
        "LorafleetJobsWait",
        f"{WAITING} > 3600",
        "15m",
        "warning",
        "Jobs of site {{ $labels.site }} wait for more than an hour.",
    )


def _condition(condition: Condition) -> Rule:
    recorded = RECORDED[condition.metric]
    enough = f" and on (site, release) {SAMPLES} >= {MIN_SAMPLES}" if condition.metric == "errorRate" else ""
    return _alert(
        "LorafleetReleaseCondition",
        f"{recorded} {condition.comparison} {condition.threshold:f}{enough}",
        "1m",
        "critical",
        f"{condition} is broken in site {{{{ $labels.site }}}} by release {{{{ $labels.release }}}}: {{{{ $value }}}}.",
        condition=str(condition),
    )


def _gpus() -> Iterator[Rule]:
    yield _record(GPU_USE, "avg by (Hostname, modelName) (DCGM_FI_DEV_GPU_UTIL) / 100")
    yield _alert(
        "LorafleetGpuFault",
        "max by (Hostname, gpu, err_code) (DCGM_FI_DEV_XID_ERRORS) > 0",
        "0m",
        "warning",
        "GPU {{ $labels.gpu }} of {{ $labels.Hostname }} reports XID {{ $value }}.",
    )
    yield _alert(
        "LorafleetGpuHot",
        "max by (Hostname, gpu) (DCGM_FI_DEV_GPU_TEMP) > 88",
        "10m",
        "warning",
        "GPU {{ $labels.gpu }} of {{ $labels.Hostname }} has {{ $value }} °C.",
    )


def _watchers() -> Iterator[Rule]:
    yield _alert(
        "LorafleetTargetDown",
        'up{job!="console"} == 0',
        "10m",
        "warning",
        "{{ $labels.job }} at {{ $labels.instance }} answers no scrape.",
    )
    yield _alert(
        "LorafleetScalerErrors",
        "sum by (scaledObject) (increase(keda_scaler_detail_errors_total[10m])) > 0",
        "10m",
        "warning",
        "KEDA cannot read what {{ $labels.scaledObject }} scales by.",
    )


def _record(name: str, expression: str) -> Rule:
    return {"record": name, "expr": expression}


def _alert(name: str, expression: str, lasting: str, severity: str, summary: str, **labels: str) -> Rule:
    return {
        "alert": name,
        "expr": expression,
        "for": lasting,
        "labels": {"severity": severity, **labels},
        "annotations": {"summary": summary},
    }
