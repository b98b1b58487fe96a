"""A condition that a user names in PromQL, answered by a real Prometheus that scrapes a real console."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lorafleet.contracts import paths
from lorafleet.contracts.release import Decision, Verdict
from tests.engines.processes import Server, answers, binary, free_port, wait_until
from tests.unit.console.api.console_process import ConsoleProcess, serving
from tests.unit.console.api.running_console import HttpWorker, new_job, new_text_set, quick_client

SITE = "local"
CONFIGURATION = """
global: {{scrape_interval: 500ms, scrape_timeout: 400ms}}
scrape_configs:
  - job_name: console
    static_configs: [{{targets: ["{target}"]}}]
"""
# Failures by user are no fault of a release for the console's own conditions: only the query knows better here.
USER_FAILURES = 'max by (site, release) (lorafleet_attempts_ended_total{outcome="user"})'


@pytest.fixture
def prometheus_port() -> int:
    return free_port()


@pytest.fixture
def console(tmp_path: Path, prometheus_port: int) -> Iterator[ConsoleProcess]:
    with serving(tmp_path, "--prometheus", f"http://127.0.0.1:{prometheus_port}") as start:
        yield start()


@pytest.fixture
def prometheus(console: ConsoleProcess, tmp_path: Path, prometheus_port: int) -> Iterator[Server]:
    file = tmp_path / "prometheus.yml"
    file.write_text(CONFIGURATION.format(target=f"127.0.0.1:{console.port}"))
    command: list[str | Path] = [
        binary("prometheus", "apt-get install prometheus"),
        f"--config.file={file}",
        f"--storage.tsdb.path={tmp_path / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{prometheus_port}",
    ]
    server = Server("prometheus", command, tmp_path).start()
    try:
        server.wait_for(lambda: answers(prometheus_port), 20)
        yield server
    finally:
        server.stop()


@pytest.fixture
def pipeline(console: ConsoleProcess) -> Iterator[httpx.Client]:
    with quick_client(base_url=console.url, timeout=20) as client:
        yield client


def candidate(console: ConsoleProcess, pipeline: httpx.Client, digest: str, **watch: float) -> tuple[str, str]:
    """A watched release that gets all requests: its id, and the address that its watch is polled at."""
    registration = {
        "application": "lorafleet",
        "image": "registry.example/trainer",
        "digest": digest,
        "sites": [{"site": SITE, "strategy": "canary", "target_size": 1, "first_share": "100%"}],
        "conditions": ["errorRate > 50%", "userFailures > 1"],
        "queries": {"userFailures": USER_FAILURES},
        "min_samples": 1,
    }
    made = console.admin.post(paths.RELEASES, json=registration)
    assert made.status_code == 201, made.text
    release = made.json()["release"]
    pipeline.headers["Authorization"] = f"Bearer {made.json()['token']}"
    assert pipeline.put(paths.share(release, SITE), json={"step": 1}).json()["status"] == "PASS"
    return release, pipeline.post(paths.watches(release, SITE), json=watch).json()["statusUrl"]


def train(console: ConsoleProcess, dataset: str, digest: str, outcome: str) -> None:
    job = new_job(console.admin, dataset)["id"]
    one: HttpWorker = console.worker(f"w-{job}")
    one.release = digest
    one.leased()
    assert one.job == job
    assert one.heartbeat().status_code == 200
    ended = one.succeed() if outcome == "succeeded" else one.say(paths.OUTCOME, outcome=outcome, exit_code=65, step=1)
    assert ended.status_code == 204, ended.text


def test_a_named_condition_takes_a_release_back_and_without_prometheus_nobody_judges(
    console: ConsoleProcess, prometheus: Server, prometheus_port: int, pipeline: httpx.Client
) -> None:
    dataset = new_text_set(console.admin)
    first, second = (f"sha256:{letter * 64}" for letter in "bc")

    def asked() -> dict[str, Any]:
        answer = httpx.get(f"http://127.0.0.1:{prometheus_port}/api/v1/query", params={"query": USER_FAILURES})
        return {each["metric"]["release"]: float(each["value"][1]) for each in answer.json()["data"]["result"]}

    release, watch = candidate(console, pipeline, first, seconds=60, deadline=120)
    train(console, dataset, first, "user")
    wait_until(lambda: asked() == {first: 1}, 20, "Prometheus has scraped the console")
    # The condition has an answer now, and it holds.
    wait_until(lambda: pipeline.get(paths.verdict(release)).json()["evaluated_at"], 10, "the guard has looked")
    assert pipeline.get(watch).json()["status"] == "RUNNING"
    train(console, dataset, first, "user")
    wait_until(lambda: pipeline.get(watch).json()["status"] == "FAIL", 20, "the guard takes the release back")
    view = pipeline.get(paths.release(release)).json()
    assert view["release"]["state"] == "rolled_back"
    assert "userFailures > 1" in view["reason"]
    verdict = Verdict.model_validate(pipeline.get(paths.verdict(release)).json())
    (breach,) = verdict.breaches
    assert (str(breach.condition), breach.site) == ("userFailures > 1", SITE)

    prometheus.kill()
    release, watch = candidate(console, pipeline, second, seconds=1, deadline=3)
    train(console, dataset, second, "succeeded")
    wait_until(lambda: pipeline.get(watch).json()["status"] == "FAIL", 20, "the watch ends")
    assert "no answer to userFailures" in pipeline.get(watch).json()["detail"]
    verdict = Verdict.model_validate(pipeline.get(paths.verdict(release)).json())
    assert (verdict.decision, verdict.breaches) == (Decision.INCONCLUSIVE, ())
    assert pipeline.get(paths.release(release)).json()["release"]["state"] == "watching"
