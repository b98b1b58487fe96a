"""Prometheus's rules mean what the guard means: tried by promtool where the machine has it, and by their names everywhere."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.incluster.config import Prometheus
from infra.incluster.prometheus_rules import ERROR_RATE, LATENCY, MISSING_WORKERS, RECORDED, rule_groups
from infra.incluster.scraping import Targets, configuration
from lorafleet.contracts import metrics
from lorafleet.contracts.conditions import MEASURED, parse_condition
from lorafleet.contracts.release import MIN_SAMPLES

CONDITIONS = Prometheus().conditions
GROUPS = rule_groups(CONDITIONS)
RULES = [rule for group in GROUPS["groups"] for rule in group["rules"]]
A = '{site="a",release="sha256:1"}'
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")


def promtool(*words: str, cwd: Path) -> None:
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_promtool_takes_the_rules(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(json.dumps(GROUPS), encoding="utf-8")
    promtool("check", "rules", "rules.yml", cwd=tmp_path)


@needs_promtool
def test_promtool_takes_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(json.dumps(GROUPS), encoding="utf-8")
    found = configuration(Targets("home", "https://fleet.example.org/x", "alerts.example.org:9093", keda=True))
    for job in found["scrape_configs"]:
        # Debian's promtool is built without Kubernetes.
        if job.pop("kubernetes_sd_configs", None):
            job["static_configs"] = []
        if "authorization" in job:
            (tmp_path / "token").write_text("x", encoding="utf-8")
            job["authorization"] = {"credentials_file": str(tmp_path / "token")}
    (tmp_path / "prometheus.yml").write_text(json.dumps(found), encoding="utf-8")
    promtool("check", "config", "prometheus.yml", cwd=tmp_path)


def attempts(outcome: str, values: str) -> dict[str, str]:
    series = f'{metrics.ATTEMPTS_ENDED.name}{{site="a",release="sha256:1",outcome="{outcome}"}}'
    return {"series": series, "values": values}


def heartbeats(*buckets: tuple[str, str]) -> list[dict[str, str]]:
    name = f"{metrics.FIRST_HEARTBEAT.name}_bucket"
    return [{"series": f'{name}{{site="a",release="sha256:1",le="{le}"}}', "values": values} for le, values in buckets]


CASES: dict[str, dict[str, Any]] = {
    # 10 of 40 attempts a minute fail by the release: 25 %.
    "a bad release": {
        "input_series": [attempts("succeeded", "0+30x10"), attempts("release", "0+10x10")],
        "promql_expr_test": [
            {"expr": ERROR_RATE, "eval_time": "10m", "exp_samples": [{"labels": f"{ERROR_RATE}{A}", "value": 0.25}]}
        ],
        "alert_rule_test": [{"eval_time": "10m", "alertname": "LorafleetReleaseCondition", "exp_alerts": ["errorRate > 5%"]}],
    },
    # A wrong data set or a lost node says nothing of the release.
    "bad data": {
        "input_series": [attempts("succeeded", "0+30x10"), attempts("user", "0+30x10"), attempts("infrastructure", "0+30x10")],
        "promql_expr_test": [{"expr": ERROR_RATE, "eval_time": "10m", "exp_samples": [{"labels": f"{ERROR_RATE}{A}", "value": 0}]}],
        "alert_rule_test": [{"eval_time": "10m", "alertname": "LorafleetReleaseCondition", "exp_alerts": []}],
    },
    # One failure of two says nothing yet.
    "few samples": {
        "input_series": [attempts("succeeded", "0 0 0 0 0 0 0 0 1 1 1"), attempts("release", "0 0 0 0 0 0 0 0 1 1 1")],
        "alert_rule_test": [{"eval_time": "10m", "alertname": "LorafleetReleaseCondition", "exp_alerts": []}],
    },
    "a slow release": {
        "input_series": heartbeats(("1", "0+1x10"), ("2", "0+2x10"), ("5", "0+10x10"), ("+Inf", "0+10x10")),
        "promql_expr_test": [{"expr": f"{LATENCY} > bool 2", "eval_time": "10m", "exp_samples": [{"labels": A, "value": 1}]}],
        "alert_rule_test": [{"eval_time": "10m", "alertname": "LorafleetReleaseCondition", "exp_alerts": ["latency > 2s"]}],
    },
    "a quick release": {
        "input_series": heartbeats(("1", "0+10x10"), ("2", "0+10x10"), ("5", "0+10x10"), ("+Inf", "0+10x10")),
        "alert_rule_test": [{"eval_time": "10m", "alertname": "LorafleetReleaseCondition", "exp_alerts": []}],
    },
    "workers that do not come": {
        "input_series": [{"series": f"{metrics.DESIRED_WORKERS.name}{A}", "values": "3x30"}],
        "promql_expr_test": [
            {"expr": MISSING_WORKERS, "eval_time": "10m", "exp_samples": [{"labels": f"{MISSING_WORKERS}{A}", "value": 3}]}
        ],
        "alert_rule_test": [{"eval_time": "25m", "alertname": "LorafleetWorkersMissing", "exp_alerts": [""]}],
    },
    "workers that are there": {
        "input_series": [
            {"series": f"{metrics.DESIRED_WORKERS.name}{A}", "values": "3x30"},
            {"series": f"{metrics.WORKERS.name}{A}", "values": "4x30"},
        ],
        "alert_rule_test": [{"eval_time": "25m", "alertname": "LorafleetWorkersMissing", "exp_alerts": []}],
    },
    "no console": {
        "input_series": [{"series": 'up{job="console"}', "values": "0x10"}],
        "alert_rule_test": [{"eval_time": "5m", "alertname": "LorafleetConsoleUnheard", "exp_alerts": [""]}],
    },
    "no console at all": {
        "input_series": [],
        "alert_rule_test": [{"eval_time": "5m", "alertname": "LorafleetConsoleUnheard", "exp_alerts": [""]}],
    },
    "a console": {
        "input_series": [{"series": 'up{job="console"}', "values": "1x10"}],
        "alert_rule_test": [{"eval_time": "5m", "alertname": "LorafleetConsoleUnheard", "exp_alerts": []}],
    },
}


@needs_promtool
@pytest.mark.parametrize("case", CASES)
def test_rules_say_what_happens(tmp_path: Path, case: str) -> None:
    described = CASES[case]
    (tmp_path / "rules.yml").write_text(json.dumps(GROUPS), encoding="utf-8")
    # promtool compares whole alerts; which of them fires is what these cases are about.
    quiet = json.loads(json.dumps(GROUPS))
    for group in quiet["groups"]:
        for rule in group["rules"]:
            rule.pop("annotations", None)
    (tmp_path / "rules.yml").write_text(json.dumps(quiet), encoding="utf-8")
    alerts = [
        {**test, "exp_alerts": [_alert(test["alertname"], case, named) for named in test["exp_alerts"]]}
        for test in described["alert_rule_test"]
    ]
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", **described, "alert_rule_test": alerts}],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test), encoding="utf-8")
    promtool("test", "rules", "test.yml", cwd=tmp_path)


def _alert(name: str, case: str, condition: str) -> dict[str, Any]:
    (rule,) = [rule for rule in RULES if rule.get("alert") == name and rule["labels"].get("condition", "") == condition]
    of = {"job": "console"} if name == "LorafleetConsoleUnheard" else {"site": "a", "release": "sha256:1"}
    return {"exp_labels": {**of, **rule["labels"]}}


def test_every_condition_that_the_console_measures_has_its_rule() -> None:
    assert set(RECORDED) == set(MEASURED)
    alerts = {rule["labels"]["condition"]: rule["expr"] for rule in RULES if rule.get("alert") == "LorafleetReleaseCondition"}
    assert set(alerts) == {str(condition) for condition in CONDITIONS}
    assert f">= {MIN_SAMPLES}" in alerts["errorRate > 5%"]


def test_a_condition_that_a_query_answers_is_the_guards() -> None:
    found = [rule for group in rule_groups([parse_condition("loss > 3")])["groups"] for rule in group["rules"]]
    assert not [rule for rule in found if rule.get("alert") == "LorafleetReleaseCondition"]


def test_rules_read_metrics_that_are_exported() -> None:
    known = {metric.name for metric in metrics.METRICS} | {f"{metric.name}_bucket" for metric in metrics.METRICS}
    ours = {name for rule in RULES for name in re.findall(r"\b(?:lorafleet_\w+|desired_workers)\b", rule["expr"])}
    assert ours
    assert ours <= known


def test_rules_have_names_of_their_own_and_say_what_to_do() -> None:
    recorded = [rule["record"] for rule in RULES if "record" in rule]
    assert len(set(recorded)) == len(recorded)
    for rule in RULES:
        if "alert" in rule:
            assert rule["labels"]["severity"] in ("warning", "critical")
            assert rule["annotations"]["summary"].endswith((".", "?"))
