"""The guard over a real store, and its questions to a Prometheus that speaks real HTTP."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest
from console_actors import CANDIDATE, Actors
from console_databases import Clock

from lorafleet.console.guard.guard import Guard
from lorafleet.console.guard.prometheus import Prometheus, Sample
from lorafleet.console.store.ledger import SqlLedger
from lorafleet.contracts.outcomes import OutcomeClass
from lorafleet.contracts.problems import UnavailableError
from lorafleet.contracts.release import Decision, ReleaseState
from lorafleet.contracts.release_api import StageStatus, Watch


@pytest.fixture
def actors(ledger: SqlLedger, clock: Clock) -> Actors:
    return Actors(ledger, clock)


class FakePrometheus(ThreadingHTTPServer):
    """Answers ``/api/v1/query`` with what the test says."""

    def __init__(self) -> None:
        self.answer: object = {}
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def vector(self, *samples: tuple[dict[str, str], str]) -> None:
        result = [{"metric": labels, "value": [1.0, value]} for labels, value in samples]
        self.answer = {"status": "success", "data": {"resultType": "vector", "result": result}}


class _Handler(BaseHTTPRequestHandler):
    server: FakePrometheus

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.asked.append(parse_qs(body)["query"][0])
        answer = self.server.answer
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(200 if self.path == "/api/v1/query" else 404)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[FakePrometheus]:
    with FakePrometheus() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def prometheus(server: FakePrometheus) -> Iterator[Prometheus]:
    client = Prometheus(server.url)
    yield client
    client.close()


def fail(actors: Actors, outcome: OutcomeClass, site: str = "aws") -> None:
    actors.submit()
    job, fence = actors.started(site, "c1", CANDIDATE)
    actors.end(job, fence, outcome)


def state(actors: Actors, release: str) -> ReleaseState:
    return actors.ledger.releases.get(release).release.state


def test_too_many_failures_in_one_site_take_it_back_in_all(actors: Actors) -> None:
    release = actors.candidate()
    guard = Guard(actors.ledger, None)
    fail(actors, OutcomeClass.RELEASE, "gcp")
    guard.judge_counts()
    assert state(actors, release) is ReleaseState.WATCHING
    fail(actors, OutcomeClass.SUCCEEDED, "gcp")
    guard.judge_counts()
    view = actors.ledger.releases.get(release)
    assert (view.release.state, view.release.verdict.decision) == (ReleaseState.ROLLED_BACK, Decision.BREACH)
    assert [(breach.site, breach.value) for breach in view.release.verdict.breaches] == [("gcp", 0.5)]
    assert view.reason == "gcp: errorRate > 5% is broken by 0.5"


def test_slow_starts_take_it_back(actors: Actors) -> None:
    release = actors.candidate(min_samples=20)
    for number in range(4):
        actors.submit()
        actors.lease("aws", f"c{number}", CANDIDATE)
    guard = Guard(actors.ledger, None)
    actors.clock.advance(2)
    guard.judge_counts()
    assert state(actors, release) is ReleaseState.WATCHING
    actors.clock.advance(0.1)
    guard.judge_counts()
    assert state(actors, release) is ReleaseState.ROLLED_BACK


def test_a_good_release_is_left_alone_and_was_looked_at(actors: Actors) -> None:
    release = actors.candidate()
    for _ in range(5):
        fail(actors, OutcomeClass.SUCCEEDED)
        fail(actors, OutcomeClass.USER)
    Guard(actors.ledger, None).judge_counts()
    assert state(actors, release) is ReleaseState.WATCHING
    assert actors.ledger.releases.verdict(release).evaluated_at == actors.clock.at


QUERY = 'sum by (site, release) (increase(DCGM_FI_DEV_XID_ERRORS{job="trainer"}[5m]))'


def with_query(actors: Actors) -> str:
    return actors.candidate(conditions=["xidErrors > 3"], queries={"xidErrors": QUERY})


def test_a_named_query_takes_it_back(actors: Actors, server: FakePrometheus, prometheus: Prometheus) -> None:
    release = with_query(actors)
    guard = Guard(actors.ledger, prometheus)
    server.vector(({"site": "aws", "release": CANDIDATE}, "3"), ({"site": "gcp", "release": CANDIDATE}, "NaN"))
    guard.judge_queries()
    assert state(actors, release) is ReleaseState.WATCHING
    assert server.asked == [QUERY]
    server.vector(({"site": "gcp", "release": CANDIDATE}, "4"))
    guard.judge_queries()
    breaches = actors.ledger.releases.verdict(release).breaches
    assert [(breach.site, str(breach.condition), breach.value) for breach in breaches] == [("gcp", "xidErrors > 3", 4.0)]


def test_what_a_query_says_of_others_is_no_matter(actors: Actors, server: FakePrometheus, prometheus: Prometheus) -> None:
    release = with_query(actors)
    server.vector(({"site": "aws", "release": "sha256:" + "9" * 64}, "99"), ({"site": "azure", "release": CANDIDATE}, "99"))
    Guard(actors.ledger, prometheus).judge_queries()
    assert state(actors, release) is ReleaseState.WATCHING


def test_a_silent_prometheus_is_no_breach_and_no_pass(actors: Actors, server: FakePrometheus, prometheus: Prometheus) -> None:
    release = with_query(actors)
    for _ in range(2):
        fail(actors, OutcomeClass.SUCCEEDED)
    watch = actors.ledger.releases.start_watch(release, "aws", Watch(seconds=60, deadline=300))
    actors.clock.advance(60)
    server.answer = b"<html>bad gateway"
    guard = Guard(actors.ledger, prometheus)
    guard.judge_queries()
    assert actors.ledger.releases.watch(release, "aws", watch).status is StageStatus.RUNNING
    server.vector(({}, "0"))
    guard.judge_queries()
    assert actors.ledger.releases.watch(release, "aws", watch).status is StageStatus.PASS


def soon(holds: Callable[[], bool]) -> None:
    for _ in range(200):
        if holds():
            return
        time.sleep(0.01)
    pytest.fail("it did not come")


def test_the_loops_act_by_themselves(actors: Actors) -> None:
    release = actors.candidate()
    over = threading.Event()
    # An interval that never ends: only the news of an attempt's end can wake it.
    guard = Guard(actors.ledger, None, interval=600)
    guard.start()
    try:
        silence = actors.ledger.listen(lambda _: over.set() if state(actors, release) is ReleaseState.ROLLED_BACK else None)
        for _ in range(2):
            fail(actors, OutcomeClass.RELEASE)
        for _ in range(200):
            if state(actors, release) is ReleaseState.ROLLED_BACK:
                break
            over.wait(0.05)
        silence()
        assert state(actors, release) is ReleaseState.ROLLED_BACK
    finally:
        guard.stop()


def test_a_defect_of_one_look_does_not_end_the_guard(actors: Actors, caplog: pytest.LogCaptureFixture) -> None:
    release = with_query(actors)

    class Broken:
        asked = 0

        def query(self, promql: str) -> list[Sample]:
            self.asked += 1
            if self.asked == 1:
                raise RuntimeError("a defect")
            return [Sample({"site": "gcp", "release": CANDIDATE}, 4.0)]

    guard = Guard(actors.ledger, Broken(), interval=0.01)
    guard.start()
    try:
        soon(lambda: state(actors, release) is ReleaseState.ROLLED_BACK)
    finally:
        guard.stop()
    assert "a defect; it goes on" in caplog.text


@pytest.mark.parametrize(
    ("answer", "samples"),
    [
        ({"status": "success", "data": {"resultType": "scalar", "result": [1, "2.5"]}}, [Sample({}, 2.5)]),
        ({"status": "success", "data": {"resultType": "vector", "result": []}}, []),
    ],
)
def test_numbers(server: FakePrometheus, prometheus: Prometheus, answer: object, samples: list[Sample]) -> None:
    server.answer = answer
    assert prometheus.query("up") == samples


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "error", "error": "parse error"},
        {"status": "success", "data": {"resultType": "matrix", "result": []}},
        {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1]}]}},
        {"status": "success"},
        [],
        b"no JSON",
    ],
)
def test_what_is_no_number(server: FakePrometheus, prometheus: Prometheus, answer: object) -> None:
    server.answer = answer
    with pytest.raises(UnavailableError, match="Prometheus"):
        prometheus.query("up")


def test_nobody_there(server: FakePrometheus) -> None:
    client = Prometheus("http://127.0.0.1:1")
    with pytest.raises(UnavailableError, match="does not answer"):
        client.query("up")
    client.close()
