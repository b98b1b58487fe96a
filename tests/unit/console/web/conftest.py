"""A running console for the pages' tests, with one of everything in it."""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from lorafleet.console.domain.records import Role
from lorafleet.contracts import layout, paths
from tests.unit.console.api.conftest import start_console
from tests.unit.console.api.running_console import PICTURES, HttpWorker, RunningConsole, StartConsole, new_dataset, new_job

__all__ = ["start_console"]

SITES = ("aws-eu", "gcp-us")


@dataclass(frozen=True)
class Story:
    """What the pages show: a job that went from one site to another and finished, a failed one, and a waiting one."""

    console: RunningConsole
    dataset: str
    version: str
    finished: str
    failed: str
    running: str
    waiting: str
    release: str


@pytest.fixture(scope="module")
def console(start_console: StartConsole) -> RunningConsole:
    return start_console(SITES)


@pytest.fixture(scope="module")
def story(console: RunningConsole) -> Iterator[Story]:
    with told(console) as found:
        yield found


def browser(console: RunningConsole, role: Role = Role.ADMIN, team: str = "default", language: str = "en") -> httpx.Client:
    """What a browser sends: a session's cookie, where a request comes from, and that it wants pages."""
    _, text = console.ledger.access.create_token(team, f"{role} of {team}", role, "test")
    headers = {"Accept": "text/html,*/*", "Accept-Language": language, "Sec-Fetch-Site": "same-origin"}
    client = httpx.Client(base_url=console.url, headers=headers, cookies={"lorafleet": text}, follow_redirects=True)
    console.others.append(client)
    return client


class told:
    """The story, told once to a console."""

    def __init__(self, console: RunningConsole) -> None:
        self._console = console
        self._workers: list[HttpWorker] = []

    def __enter__(self) -> Story:
        console = self._console
        dataset, version = new_dataset(console.admin, "<b>neon</b> & rain")
        finished = self._finished(dataset)
        failed = self._failed(dataset)
        running = new_job(console.admin, dataset, name="training now")["id"]
        self._worker("aws-eu", "running").heartbeat()
        self._workers[-1].say(paths.PROGRESS, step=3, total_steps=10, seconds_left=70.0, metrics={"loss": 0.2}, sent_at=_now())
        waiting = new_job(console.admin, dataset, name="large", gpus=2, min_memory_mib=48 * 1024)["id"]
        release = self._release()
        return Story(console, dataset, version, finished, failed, running, waiting, release)

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.http.close()

    def _worker(self, site: str, name: str) -> HttpWorker:
        self._workers.append(HttpWorker(self._console, site=site, name=name))
        return self._workers[-1].leased()

    def _finished(self, dataset: str) -> str:
        job = new_job(self._console.admin, dataset, name="two sites")["id"]
        first = self._worker("aws-eu", "one")
        first.heartbeat()
        for step in range(1, 7):
            first.say(paths.PROGRESS, step=step, total_steps=10, seconds_left=30.0, metrics={"loss": 1.0 / step}, sent_at=_now())
        first.say(paths.LOG, first=0, lines=["loading", "<script>alert(1)</script>"])
        assert first.publish(4).status_code == 204
        assert (
            first.say(
                paths.OUTCOME, outcome="infrastructure", exit_code=74, step=6, problems=[{"what": "the disk is full"}]
            ).status_code
            == 204
        )
        second = self._worker("gcp-us", "two")
        second.heartbeat()
        for step in range(5, 11):
            metrics = {"loss": 0.9 / step, **({"validation_loss": 0.3} if step == 10 else {})}
            second.say(paths.PROGRESS, step=step, total_steps=10, seconds_left=1.0, metrics=metrics, sent_at=_now())
        picture = second.write(layout.sample_object(second.job, second.fence, 10, "prompt-0.png"), PICTURES["photo-1.png"])
        assert second.say(paths.SAMPLE, step=10, prompt="a <b>neon</b> street", object=picture).status_code == 204
        assert second.succeed().status_code == 204
        return str(job)

    def _failed(self, dataset: str) -> str:
        job = new_job(self._console.admin, dataset, name="too large", training={"base_model": "tiny-sd", "batch_size": 4})["id"]
        worker = self._worker("aws-eu", "three")
        worker.heartbeat()
        what = {"what": "the GPU ran out of memory", "where": "step 1", "hint": "use a smaller batch_size"}
        assert worker.say(paths.OUTCOME, outcome="user", exit_code=71, step=0, problems=[what]).status_code == 204
        return str(job)

    def _release(self) -> str:
        body = {
            "application": "lorafleet",
            "image": "registry.example.com/trainer",
            "digest": f"sha256:{'b' * 64}",
            "sites": [{"site": site, "strategy": "canary", "target_size": 1, "first_share": "10%"} for site in SITES],
            "conditions": ["errorRate > 5%"],
        }
        made = self._console.admin.post(paths.RELEASES, json=body)
        assert made.status_code == 201, made.text
        return str(made.json()["release"])


def _now() -> str:
    from datetime import UTC, datetime

    return datetime.now(UTC).isoformat()
