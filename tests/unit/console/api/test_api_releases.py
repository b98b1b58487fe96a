"""Releases, as CI, a pipeline and people handle them."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from lorafleet.console.domain.records import Role
from lorafleet.contracts import paths
from lorafleet.contracts.release import Verdict
from lorafleet.contracts.release_api import ReleaseView, StageAnswer
from tests.unit.console.api.release_calls import DIGEST, facts, polled, registered, registration
from tests.unit.console.api.running_console import (
    API,
    HttpWorker,
    RunningConsole,
    StartConsole,
    new_dataset,
    new_job,
    problem,
    soon,
)

MakeWorker = Callable[..., HttpWorker]

MISSING = f"sha256:{'c' * 64}"


class Registry(BaseHTTPRequestHandler):
    """A registry of the distribution API that asks for a token and holds one digest."""

    def do_HEAD(self) -> None:
        if self.headers.get("Authorization") != "Bearer pull-token":
            host = self.headers["Host"]
            self._answer(
                401, {"WWW-Authenticate": f'Bearer realm="http://{host}/token",service="here",scope="repository:fleet:pull"'}
            )
        elif self.path.endswith(DIGEST):
            self._answer(200, {"Docker-Content-Digest": DIGEST})
        else:
            self._answer(404, {})

    def do_GET(self) -> None:
        body = json.dumps({"token": "pull-token"}).encode()
        self._answer(200, {"Content-Length": str(len(body))})
        self.wfile.write(body)

    def _answer(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}/fleet"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def console(start_console: StartConsole, registry: str) -> RunningConsole:
    sites = {
        "a": facts("a", registry),
        "b": facts("b", registry),
        "old": facts("old", registry, gpu_pools=[{"type": "L4", "driver": "525.1", "max": 1}]),
        "cut-off": facts("cut-off", "127.0.0.1:9/fleet"),
    }
    return start_console(sites=("a", "b"), site_facts=sites, allow_unsigned=True)


def hear_of(console: RunningConsole, worker: MakeWorker, *sites: str, release: str = DIGEST) -> None:
    for site in sites:
        worker(console=console, site=site, name=f"w-{site}", release=release).enrol().ask_lease(0)


def test_the_token_of_a_release_reaches_that_release_alone(console: RunningConsole) -> None:
    release, pipeline = registered(console)
    assert ReleaseView.model_validate(pipeline.get(paths.release(release)).json()).id == release
    for path in ("/jobs", "/me", "/tokens", "/releases", "/sites"):
        problem(pipeline.get(API + path), 403)
    problem(pipeline.get(paths.release("another")), 403)
    problem(pipeline.post(paths.revoke("another"), json={}), 403)
    problem(pipeline.post(paths.RELEASES, json=registration()), 403)
    browser = console.anonymous(headers={"Sec-Fetch-Site": "same-origin"})
    problem(browser.post("/login", data={"token": pipeline.headers["authorization"].removeprefix("Bearer ")}), 403)
    problem(console.anonymous().get(paths.release(release)), 401)


def test_what_a_release_cannot_be(console: RunningConsole) -> None:
    problem(console.admin.post(paths.RELEASES, json=registration("a", "a")), 422)
    problem(console.admin.post(paths.RELEASES, json=registration(quorum=2)), 422)
    problem(console.client(Role.TRAINER).post(paths.RELEASES, json=registration()), 403)
    release, pipeline = registered(console)
    problem(console.admin.post(paths.RELEASES, json=registration(digest=MISSING)), 409)
    problem(pipeline.put(paths.share(release, "b"), json={"step": 1}), 404)
    problem(pipeline.put(paths.share(release, "a"), json={"step": -1}), 422)
    problem(pipeline.get(paths.watch(release, "a", "no-such-watch")), 404)
    problem(console.admin.get(paths.release("no-such-release")), 404)


def test_preflight_asks_registries_sites_and_tables(console: RunningConsole, worker: MakeWorker) -> None:
    release, pipeline = registered(console, "a", "old", "cut-off")
    hear_of(console, worker, "a")
    whole = polled(pipeline, paths.preflight(release))
    assert whole.status == "PASS"
    assert "signature not checked" in whole.detail
    assert "cut-off: does not answer" in whole.detail
    assert polled(pipeline, paths.site_preflight(release, "a")).status == "PASS"
    old = polled(pipeline, paths.site_preflight(release, "old"))
    assert old.status == "FAIL"
    assert "driver is 525.1" in old.detail
    assert "grow to 1 GPUs" in old.detail
    assert "not heard of" in old.detail
    cut = polled(pipeline, paths.site_preflight(release, "cut-off"))
    assert (cut.status, "registry does not answer" in cut.detail) == ("FAIL", True)
    problem(pipeline.post(paths.site_preflight(release, "b")), 404)


def test_an_image_that_is_nowhere_fails(console: RunningConsole) -> None:
    release, pipeline = registered(console, "a", digest=MISSING)
    answer = polled(pipeline, paths.preflight(release))
    assert (answer.status, "does not hold the digest" in answer.detail) == ("FAIL", True)


def test_unsigned_images_fail_unless_allowed(start_console: StartConsole, registry: str) -> None:
    console = start_console(sites=("a",), site_facts={"a": facts("a", registry)})
    release, pipeline = registered(console)
    answer = polled(pipeline, paths.preflight(release))
    assert (answer.status, "signature" in answer.detail) == ("FAIL", True)


def train(console: RunningConsole, worker: MakeWorker, release: str, outcome: str = "succeeded") -> str:
    job = new_job(console.admin, new_dataset(console.admin)[0])["id"]
    one = worker(console=console, site="a", release=release).leased()
    assert one.job == job
    one.heartbeat()
    if outcome == "succeeded":
        assert one.succeed().status_code == 204
    else:
        assert one.say(paths.OUTCOME, outcome=outcome, exit_code=1, step=1).status_code == 204
    return str(job)


def test_a_good_release_is_watched_and_promoted(console: RunningConsole, worker: MakeWorker) -> None:
    release, pipeline = registered(console)
    problem(pipeline.post(paths.promote(release)), 409)
    problem(pipeline.post(paths.settle(release)), 409)
    assert StageAnswer.model_validate(pipeline.get(paths.settle(release)).json()).status == "FAIL"
    share = StageAnswer.model_validate(pipeline.put(paths.share(release, "a"), json={"step": 1}).json())
    assert (share.status, share.detail) == ("PASS", "a: share 100%")
    started = StageAnswer.model_validate(pipeline.post(paths.watches(release, "a"), json={"seconds": 1, "deadline": 30}).json())
    assert started.status == "RUNNING"
    assert started.status_url is not None
    assert started.status_url.startswith(console.url)
    train(console, worker, DIGEST)
    soon(lambda: bool(pipeline.get(started.status_url or "").json()["status"] == "PASS"))
    verdict = Verdict.model_validate(pipeline.get(paths.verdict(release)).json())
    assert verdict.counts["a"].succeeded == 1
    assert [row["site"] for row in pipeline.get(paths.desired_workers(release)).json()] == ["a"]
    assert f'site="a",release="{DIGEST}"' in console.anonymous().get("/metrics").text
    assert StageAnswer.model_validate(pipeline.post(paths.promote(release)).json()).status == "PASS"
    assert polled(pipeline, paths.settle(release)).status == "PASS"
    assert console.admin.get(paths.RELEASES).json()["rows"][0]["release"]["state"] == "stable"


def test_a_breach_takes_it_back_and_the_job_goes_on_with_the_stable_one(console: RunningConsole, worker: MakeWorker) -> None:
    from tests.unit.console.api.running_console import RELEASE

    release, pipeline = registered(console)
    pipeline.put(paths.share(release, "a"), json={"step": 1})
    watch = pipeline.post(paths.watches(release, "a"), json={"seconds": 60, "deadline": 90}).json()["statusUrl"]
    job = train(console, worker, DIGEST, "release")
    soon(lambda: bool(pipeline.get(watch).json()["status"] == "FAIL"))
    assert pipeline.get(paths.release(release)).json()["release"]["state"] == "rolled_back"
    again = worker(console=console, site="a", release=RELEASE).leased()
    assert again.job == job
    # What a pipeline does after that changes nothing and fails nothing.
    assert StageAnswer.model_validate(pipeline.post(paths.revoke(release), json={"reason": "breach"}).json()).status == "PASS"


def test_a_fault_needs_no_statistics(console: RunningConsole) -> None:
    release, pipeline = registered(console)
    answer = pipeline.post(paths.fault(release, "a"), json={"fault": "smoke_job", "detail": "exit 69"})
    assert StageAnswer.model_validate(answer.json()).status == "PASS"
    view = pipeline.get(paths.release(release)).json()
    assert (view["release"]["state"], view["release"]["verdict"]["decision"]) == ("rolled_back", "breach")
    assert "exit 69" in view["reason"]


def test_the_token_dies_with_its_release(console: RunningConsole, monkeypatch: pytest.MonkeyPatch) -> None:
    release, pipeline = registered(console)
    pipeline.post(paths.revoke(release), json={})
    assert pipeline.post(paths.revoke(release), json={}).status_code == 200
    from lorafleet.console.api import releases

    monkeypatch.setattr(releases, "AFTER_THE_END", timedelta(0))
    problem(pipeline.post(paths.revoke(release), json={}), 401)
    problem(pipeline.get(paths.verdict(release)), 401)


def test_a_finished_job_is_the_probe_of_candidates(console: RunningConsole, worker: MakeWorker) -> None:
    from tests.unit.console.api.running_console import RELEASE

    job = train(console, worker, RELEASE)
    waiting = new_job(console.admin, new_dataset(console.admin, "waits")[0])["id"]
    problem(console.admin.put(f"{API}/probe", json={"job": waiting}), 409)
    problem(console.admin.put(f"{API}/probe", json={"job": "no-such-job"}), 404)
    problem(console.client(Role.TRAINER).put(f"{API}/probe", json={"job": job}), 403)
    console.admin.post(f"{API}/jobs/{waiting}/cancel")
    release, pipeline = registered(console)
    pipeline.put(paths.share(release, "a"), json={"step": 1})
    pipeline.post(paths.watches(release, "a"), json={"seconds": 60, "deadline": 90})
    candidate = worker(console=console, site="a", release=DIGEST).enrol()
    assert candidate.ask_lease(0).status_code == 204
    assert console.admin.put(f"{API}/probe", json={"job": job}).status_code == 204
    assert candidate.enrol().ask_lease(5).status_code == 200
    assert candidate.lease["job"]["kind"] == "probe"
    assert console.admin.delete(f"{API}/probe").status_code == 204
