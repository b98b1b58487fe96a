import json
import re
from datetime import time, timedelta
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lorafleet.contracts.document import parse, validate
from lorafleet.contracts.durations import format_duration
from lorafleet.contracts.fleet import FleetSpec
from lorafleet.contracts.problems import ConfigError
from lorafleet.contracts.schemas import render
from lorafleet.contracts.shares import ALL, Share, Strategy

SHA = "sha256:" + "ab" * 32
FULL = f"""\
application: lora-training-platform
image: ghcr.io/acme/lora-trainer@{SHA}
console: {{url: https://fleet.example.org/}}
gate: {{url: https://gate.example.org:8085}}
sites: [aws-eu-central-1, gcp-us-west1, azure-westeurope]
home: aws-eu-central-1
standby: gcp-us-west1
release:
  clusters:
    - {{site: aws-eu-central-1, targetSize: 3, strategy: canary, share: 10%}}
    - {{site: gcp-us-west1, targetSize: 2, strategy: bluegreen}}
    - {{site: azure-westeurope, targetSize: 4, strategy: rolling, share: 40%}}
  watch: 10m
monitor:
  metricsAccount: prometheus-prod
  scopes: [aws, gcp, azure]
  queries:
    xidErrors: 'sum(increase(DCGM_FI_DEV_XID_ERRORS[1m]))'
rollback:
  trigger: automatic
  conditions: ["errorRate > 5%", "latency > 2s", "xidErrors > 0"]
  within: 90s
  min_samples: 30
approvals:
  - {{before: promote, roles: [release-managers], timeout: 4h}}
notifications:
  - {{type: slack, address: "#releases", when: [starting, failed]}}
windows:
  - {{days: [mon, tue], from: 09:00, to: 17:00, timeZone: Europe/Berlin}}
"""


def fleet(text: str = FULL) -> FleetSpec:
    return validate(FleetSpec, parse(text, "fleet.yaml"))


def test_every_key_of_the_design_is_read() -> None:
    spec = fleet()
    assert str(spec.image) == f"ghcr.io/acme/lora-trainer@{SHA}"
    assert spec.console is not None
    assert spec.console.url == "https://fleet.example.org"
    first, second, third = spec.release.clusters
    assert (first.target_size, first.strategy, first.schedule) == (3, Strategy.CANARY, (Share(1000), ALL))
    assert second.schedule == (ALL,)
    assert third.schedule == (Share(4000), Share(8000), ALL)
    assert spec.release.watch == timedelta(minutes=10)
    assert spec.monitor.metrics_account == "prometheus-prod"
    assert [str(condition) for condition in spec.rollback.conditions] == ["errorRate > 5%", "latency > 2s", "xidErrors > 0"]
    assert spec.rollback.within == timedelta(seconds=90)
    # YAML reads 09:00 as text and 17:00 as the number 1020.
    (window,) = spec.windows
    assert (window.start, window.end, window.time_zone) == (time(9), time(17), "Europe/Berlin")


def test_the_shortest_file_has_the_defaults_of_the_design() -> None:
    spec = fleet("""\
application: a
image: ghcr.io/acme/lora-trainer
sites: [x]
home: x
release: {clusters: [{site: x, targetSize: 1, strategy: canary}]}
""")
    assert spec.release.clusters[0].schedule == (Share(1000), ALL)
    assert spec.standby is None
    assert [str(condition) for condition in spec.rollback.conditions] == ["errorRate > 5%", "latency > 2s"]
    assert spec.rollback.within == timedelta(seconds=90)


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        (f"@{SHA}", ":latest", 2, "names a tag, which may change"),
        (f"@{SHA}", f":v1@{SHA}", 2, "names a tag"),
        ("https://fleet", "http://fleet", 3, "is no https:// address"),
        ("https://fleet", "https://me:pw@fleet", 3, "a host, a port and a path only"),
        ("https://gate.example.org:8085", "'https://gate.example.org:8085/?token=x'", 4, "a host, a port and a path only"),
        ("https://gate.example.org:8085", "https://gate.example.org:99999", 4, "ort out of range"),
        ("https://fleet.example.org", "https://10.0.0.7", 3, "'10.0.0.7' is no public DNS name"),
        ("https://fleet.example.org/", "'https://[2001:db8::1]'", 3, "never an IP address"),
        ("https://fleet.example.org", "https://console", 3, "never an IP address"),
        ("https://fleet.example.org", "http://localhost:8000", 3, "is no https:// address"),
        ("https://fleet.example.org", "https://console.local", 3, "names under .local"),
        ("https://fleet.example.org", "https://console.lora.svc.cluster.local.", 3, "names under .local"),
        ("https://fleet.example.org", "https://Console.Internal", 3, "names under .internal"),
        ("https://fleet.example.org", "https://console.localdomain", 3, "names under .localdomain"),
        ("https://fleet.example.org", "https://console.spinnaker", 3, "names under .spinnaker"),
        ("aws-eu-central-1, gcp", "aws-eu-central-1, aws-eu-central-1, gcp", 5, "'aws-eu-central-1' stands twice"),
        ("home: aws-eu-central-1", "home: aws-eu-centra-1", 6, "not in sites; did you mean 'aws-eu-central-1'?"),
        ("standby: gcp-us-west1", "standby: aws-eu-central-1", 7, "is the home too"),
        (
            "site: gcp-us-west1",
            "site: gcp-us-wst1",
            11,
            "release.clusters.1.site: 'gcp-us-wst1' is not in sites; did you mean 'gcp-us-west1'?",
        ),
        ("site: gcp-us-west1", "site: aws-eu-central-1", 9, "'aws-eu-central-1' stands twice"),
        ("targetSize: 3", "targetSize: 0", 10, "greater than or equal to 1"),
        ("targetSize: 3", "targetSize: '3'", 10, "valid integer"),
        ("strategy: canary", "strategy: canry", 10, "'canary', 'bluegreen' or 'rolling'"),
        ("share: 10%", "share: 10", 10, "10 has no percent sign"),
        ("share: 10%", "share: 0%", 10, "would never be seen"),
        ("share: 10%", "share: 101%", 10, "between 0% and 100%"),
        ("strategy: bluegreen", "strategy: bluegreen, share: 10%", 11, "leave share out"),
        ("watch: 10m", "watch: 10", 13, "10 has no unit"),
        ("  metricsAccount: prometheus-prod\n", "", 14, "need monitor.metricsAccount"),
        ("xidErrors: ", "latency: ", 14, "measures latency itself"),
        ("xidErrors > 0", "xidErors > 0", 21, "'xidErors' is not in monitor.queries; did you mean 'xidErrors'?"),
        ("errorRate > 5%", "errorRate > 5", 21, "another unit"),
        ("errorRate > 5%", "latency > 2000ms", 21, "'latency > 2s' stands twice"),
        ("within: 90s", "within: 2h", 22, "between 1s and 1h"),
        ("trigger: automatic", "trigger: manual", 20, "'automatic'"),
        ("min_samples: 30", "min_samples: 0", 23, "greater than or equal to 1"),
        ("before: promote", "before: rollback", 25, "'start' or 'promote'"),
        ('"#releases"', "https://hooks.slack.com/services/T/B/x", 27, "a chat webhook"),
        ("to: 17:00", "to: 25:00", 29, "no time of day"),
        ("to: 17:00", "to: 09:00", 29, "at another time"),
        ("Europe/Berlin", "summer time", 29, "windows.0.timeZone"),
        ("{url: https://fleet.example.org/}", "https://fleet.example.org/", 3, "console: keys and values are needed"),
        ("[mon, tue]", "mon", 29, "windows.0.days: a list is needed, found 'mon'"),
        ("days: [mon, tue]", "days: [mon, tues]", 29, "windows.0.days.1"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(old: str, new: str, line: int, words: str) -> None:
    assert old in FULL
    with pytest.raises(ConfigError) as caught:
        fleet(FULL.replace(old, new, 1))
    (problem,) = caught.value.problems
    assert problem.where == f"fleet.yaml:{line}"
    assert words in str(problem)


def test_gate_may_be_on_this_machine_and_anywhere_people_reach_it() -> None:
    for url in ("http://localhost:8084", "http://127.0.0.1:8084/gate", "https://10.0.0.7", "https://gate.internal"):
        gate = fleet(FULL.replace("https://gate.example.org:8085", url)).gate
        assert gate is not None
        assert gate.url == url


def test_no_password_of_an_address_is_shown() -> None:
    for scheme in ("http", "https"):
        for place in ("https://fleet", "https://gate"):
            with pytest.raises(ConfigError) as caught:
                fleet(FULL.replace(place, f"{scheme}://me:s3cr3t@fleet"))
            assert "s3cr3t" not in str(caught.value)


def test_min_samples_may_be_written_like_its_neighbours() -> None:
    assert fleet(FULL.replace("min_samples", "minSamples")) == fleet()
    with pytest.raises(ConfigError, match=r"fleet.yaml:23: rollback.minSamples: .* greater than or equal to 1"):
        fleet(FULL.replace("min_samples: 30", "minSamples: 0"))


def test_every_wrong_key_is_told_at_once_and_only_once() -> None:
    text = (
        FULL.replace("targetSize: 3", "targetSize: none")
        .replace("targetSize: 2", "targetSiz: 2")
        .replace("targetSize: 4", "targetSize: 0")
    )
    with pytest.raises(ConfigError) as caught:
        fleet(text)
    assert [problem.where for problem in caught.value.problems] == [f"fleet.yaml:{line}" for line in (10, 11, 11, 12)]


def test_a_key_has_one_name() -> None:
    with pytest.raises(ConfigError) as caught:
        fleet(FULL.replace("targetSize: 3", "target_size: 3"))
    assert "fleet.yaml:10: unknown key 'release.clusters.0.target_size' (did you mean 'targetSize'?)" in str(caught.value)


def test_a_refused_webhook_is_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        fleet(FULL.replace('"#releases"', "https://hooks.slack.com/services/T/B/s3cr3t"))
    assert "s3cr3t" not in str(caught.value)


IDS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
LENGTHS = st.integers(1, 10**7).map(lambda ms: format_duration(timedelta(milliseconds=ms)))


@st.composite
def fleets(draw: st.DrawFn) -> dict[str, Any]:
    sites = draw(st.lists(IDS, min_size=2, max_size=4, unique=True))
    clusters = []
    for site in sites:
        strategy = draw(st.sampled_from(Strategy))
        share = (
            None
            if strategy is Strategy.BLUEGREEN
            else draw(st.none() | st.integers(1, 10_000).map(lambda points: str(Share(points))))
        )
        clusters.append({"site": site, "targetSize": draw(st.integers(1, 1000)), "strategy": strategy.value, "share": share})
    queries = draw(st.dictionaries(st.from_regex(r"q[A-Za-z0-9_]{0,8}", fullmatch=True), st.just("up"), max_size=2))
    return {
        "application": draw(IDS),
        "image": draw(st.sampled_from(["lora", "ghcr.io/acme/lora", f"localhost:5000/lora@{SHA}"])),
        "console": draw(st.none() | st.just({"url": "https://fleet.example.org"})),
        "sites": sites,
        "home": sites[0],
        "standby": draw(st.none() | st.just(sites[1])),
        "release": {"clusters": clusters, "watch": draw(LENGTHS), "drain": draw(LENGTHS)},
        "monitor": {"metricsAccount": "prometheus-prod", "queries": queries, "scopes": draw(st.lists(IDS, max_size=2))},
        "rollback": {
            "conditions": [
                f"errorRate > {draw(st.integers(0, 100))}%",
                *(f"{name} > {draw(st.integers(0, 9))}" for name in queries),
            ],
            "min_samples": draw(st.integers(1, 1000)),
        },
        "windows": draw(
            st.lists(
                st.builds(lambda a, b: {"from": a.strftime("%H:%M"), "to": b.strftime("%H:%M")}, st.times(), st.times()).filter(
                    lambda window: window["from"] != window["to"]
                ),
                max_size=2,
            )
        ),
    }


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(fleets())
def test_every_fleet_is_written_and_read_back(values: dict[str, Any]) -> None:
    spec = FleetSpec.model_validate(values)
    assert FleetSpec.model_validate_json(spec.model_dump_json()) == spec
    assert FleetSpec.model_validate(spec.model_dump()) == spec
    assert fleet(yaml.safe_dump(spec.model_dump(mode="json"))) == spec


def test_defaults_in_the_schema_are_what_the_schema_allows() -> None:
    schema = json.loads(render()["schemas/fleet-spec.json"])
    fields = [
        field for part in (schema, *schema["$defs"].values()) for field in part.get("properties", {}).values() if "default" in field
    ]
    assert len(fields) > 15
    for field in fields:
        jsonschema.validate(field["default"], {**field, "$defs": schema["$defs"]})


CANARY = FULL.replace(
    "  scopes: [aws, gcp, azure]\n",
    "  canary: {storageAccount: canary-results, lifetime: 2h, interval: 30m, thresholds: {marginal: 40, pass: 80}}\n",
)


def test_an_analysis_is_there_only_if_asked_for() -> None:
    assert fleet().monitor.canary is None
    canary = fleet(CANARY).monitor.canary
    assert canary is not None
    assert (canary.configurations, canary.lifetime, canary.interval) == (
        "canary-results",
        timedelta(hours=2),
        timedelta(minutes=30),
    )
    assert (canary.thresholds.marginal, canary.thresholds.passing) == (40, 80)
    assert [(metric.metric, metric.weight, metric.critical) for metric in canary.metrics] == [
        ("lorafleet_attempts_ended_total", 60, True),
        ("lorafleet_leases_expired_total", 40, False),
    ]
    assert FleetSpec.model_validate_json(fleet(CANARY).model_dump_json()) == fleet(CANARY)


def test_where_both_releases_are_at_work() -> None:
    assert [cluster.last_compared for cluster in fleet().release.clusters] == [1, None, 2]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("storageAccount: canary-results, ", "", "key 'monitor.canary.storageAccount' is missing"),
        ("lifetime: 2h", "lifetime: 59s", "59s is no number of whole minutes"),
        ("lifetime: 2h", "lifetime: 90500ms", "no number of whole minutes, which Kayenta counts in"),
        ("lifetime: 2h", "lifetime: 13h", "13h is too long; at most 12h"),
        ("lifetime: 2h, interval: 30m", "lifetime: 10m", "monitor.canary.interval: an interval of 20m does not fit into 10m"),
        ("interval: 30m", "interval: 90s", "monitor.canary.interval: 1m30s is no number of whole minutes"),
        ("interval: 30m", "interval: 3h", "an interval of 3h does not fit into 2h"),
        ("marginal: 40", "marginal: 80", "marginal (80) lies below pass (80)"),
        ("pass: 80", "pass: 101", "less than or equal to 100"),
        ("pass: 80", "passing: 80", "unknown key 'monitor.canary.thresholds.passing'"),
        ("interval: 30m", "metrics: [{metric: up, weight: 100}]", "'up' is none of lorafleet_attempts_ended_total, "),
        (
            "interval: 30m",
            "metrics: [{metric: lorafleet_lease_expired_total, weight: 100}]",
            "did you mean 'lorafleet_leases_expired_total'?",
        ),
        (
            "interval: 30m",
            "metrics: [{metric: lorafleet_leases_expired_total, weight: 90}]",
            "monitor.canary.metrics: the weights add up to 90, not to 100",
        ),
        (
            "interval: 30m",
            "metrics: [{metric: lorafleet_leases_expired_total, weight: 50}, {metric: lorafleet_leases_expired_total, weight: 50}]",
            "metrics.1.metric: 'lorafleet_leases_expired_total' stands twice",
        ),
    ],
)
def test_what_is_wrong_in_an_analysis_is_named_with_its_line(old: str, new: str, words: str) -> None:
    assert old in CANARY
    with pytest.raises(ConfigError) as caught:
        fleet(CANARY.replace(old, new, 1))
    (problem,) = caught.value.problems
    assert problem.where == "fleet.yaml:16"
    assert words in str(problem)


def test_an_analysis_needs_metrics_and_something_to_compare() -> None:
    with pytest.raises(ConfigError, match=r"monitor.canary needs monitor\.metricsAccount"):
        fleet(
            CANARY.replace("  metricsAccount: prometheus-prod\n", "").replace("  queries:\n", "").replace("    xidErrors: ", "  #")
        )
    for strategy in ("bluegreen", "canary, share: 100%"):
        clusters = f"[{{site: aws-eu-central-1, targetSize: 1, strategy: {strategy}}}]"
        with pytest.raises(ConfigError, match=r"fleet.yaml:\d+: monitor.canary: in no site both releases are at work"):
            fleet(re.sub(r"  clusters:\n(    - .*\n)+", f"  clusters: {clusters}\n", CANARY))


def test_a_quorum_can_pass() -> None:
    assert fleet().release.quorum == 1
    assert fleet(FULL.replace("  watch: 10m", "  quorum: 3")).release.quorum == 3
    with pytest.raises(ConfigError, match=r"release\.quorum: 4 of 3 sites cannot pass"):
        fleet(FULL.replace("  watch: 10m", "  quorum: 4"))
