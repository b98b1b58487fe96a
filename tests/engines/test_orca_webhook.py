"""The stand-in for Orca's webhook stage keeps the reference's behaviour, over real HTTPS."""

import itertools
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.orca.engine import OrcaEngine, stage_of, statuses
from tests.engines.orca.stages import ANSWERED, IGNORE, pipeline, refs, run, wait, watch
from tests.engines.pki import Authority
from tests.engines.processes import free_port, wait_until
from tests.engines.web_peer import Reply, Request, WebPeer

pytestmark = [pytest.mark.timeout(600)]

RUNNING: Reply = (200, {"status": "RUNNING", "detail": "3 of 20 samples"})
PASS: Reply = (200, {"status": "PASS", "detail": "20 samples"})
FAIL: Reply = (200, {"status": "FAIL", "detail": "errorRate 30 % > 5 %"})


class Answers:
    """What the peer says by path: one reply after the other, the last one for ever."""

    def __init__(self) -> None:
        self.by_path: dict[str, list[Reply]] = {}

    def __call__(self, request: Request) -> Reply:
        replies = self.by_path[request.path]
        return replies.pop(0) if len(replies) > 1 else replies[0]

    def new(self, *replies: Reply) -> str:
        path = f"/{secrets.token_hex(8)}"
        self.by_path[path] = list(replies)
        return path


@pytest.fixture(scope="module")
def answers() -> Answers:
    return Answers()


@pytest.fixture(scope="module")
def peer(authority: Authority, answers: Answers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebPeer]:
    peer = WebPeer("console.lorafleet.test", authority, tmp_path_factory.mktemp("peer"), answers)
    yield peer
    peer.refuse()


@pytest.fixture(scope="module", autouse=True)
def long_watch(orca: OrcaEngine, peer: WebPeer, answers: Answers) -> tuple[str, str]:
    """A watch that began with the module and never ends by itself: its execution and the path that it polls."""
    path = answers.new(RUNNING)
    return orca.submit(pipeline(watch("1", peer.url(path)))), path


def test_a_status_is_polled_until_it_passes(orca: OrcaEngine, peer: WebPeer, answers: Answers) -> None:
    status = answers.new(RUNNING, RUNNING, PASS)
    create = answers.new((202, {"statusUrl": peer.url(status)}))
    found = run(orca, watch("1", peer.url(create), customHeaders={"Authorization": "Bearer t"}, **ANSWERED))
    assert found["status"] == "SUCCEEDED"
    webhook = stage_of(found, "1")["context"]["webhook"]
    assert webhook["body"] == {"statusUrl": peer.url(status)}
    assert webhook["monitor"]["body"] == PASS[1]
    assert webhook["monitor"]["progressMessage"] == "20 samples"
    assert peer.asked(create)[0].body == {"seconds": 5}
    asked = peer.asked(status)
    assert [(each.method, each.headers["Authorization"]) for each in asked] == [("GET", "Bearer t")] * 3
    assert all(later.at - earlier.at > 0.95 for earlier, later in itertools.pairwise(asked))


def test_terminal_status_fails_the_stage(orca: OrcaEngine, peer: WebPeer, answers: Answers) -> None:
    found = run(orca, watch("1", peer.url(answers.new(RUNNING, FAIL)), **IGNORE), wait("2", "1"))
    assert refs(found) == ("SUCCEEDED", {"1": "FAILED_CONTINUE", "2": "SUCCEEDED"})


def test_location_header(orca: OrcaEngine, peer: WebPeer, answers: Answers) -> None:
    created: Reply = (201, {}, {"Location": peer.url(answers.new(PASS))})
    found = run(orca, watch("1", peer.url(answers.new(created)), statusUrlResolution="locationHeader"))
    assert found["status"] == "SUCCEEDED"


def test_a_relative_status_address_is_not_completed(orca: OrcaEngine, peer: WebPeer, answers: Answers) -> None:
    url = peer.url(answers.new((200, {"statusUrl": answers.new(PASS)})))
    found = run(orca, watch("1", url, **ANSWERED))
    assert found["status"] == "TERMINAL"


@pytest.mark.parametrize("code", [400, 401, 404, 409])
def test_4xx_ends_at_once(orca: OrcaEngine, peer: WebPeer, answers: Answers, code: int) -> None:
    first, later = answers.new((code, {"title": "no"})), answers.new(RUNNING, (code, {}))
    found = run(orca, watch("first", peer.url(first), **IGNORE), watch("later", peer.url(later), **IGNORE))
    assert set(statuses(found).values()) == {"FAILED_CONTINUE"}
    assert stage_of(found, "first")["context"]["webhook"]["body"] == {"title": "no"}
    assert len(peer.asked(first)) == 1
    assert len(peer.asked(later)) == 2


@pytest.mark.parametrize("code", [500, 503, 429])
def test_5xx_while_polling_is_asked_again(orca: OrcaEngine, peer: WebPeer, answers: Answers, code: int) -> None:
    found = run(orca, watch("1", peer.url(answers.new(RUNNING, *[(code, {})] * 4, PASS))))
    assert found["status"] == "SUCCEEDED"
    assert stage_of(found, "1")["context"]["webhook"]["monitor"]["pastStatusCodes"] == [code] * 4


def test_5xx_for_ever_ends_by_the_time_limit_of_the_stage(orca: OrcaEngine, peer: WebPeer, answers: Answers) -> None:
    url = peer.url(answers.new(RUNNING, (503, {})))
    found = run(orca, watch("1", url, stageTimeoutMs=6000, **IGNORE), wait("2", "1"))
    assert refs(found) == ("SUCCEEDED", {"1": "FAILED_CONTINUE", "2": "SUCCEEDED"})


def test_5xx_at_the_first_call_is_tried_again_after_ten_seconds(orca: OrcaEngine, peer: WebPeer, answers: Answers) -> None:
    path = answers.new((503, {}), PASS)
    assert run(orca, watch("1", peer.url(path)))["status"] == "SUCCEEDED"
    first, second, *_ = peer.asked(path)
    assert second.at - first.at > 9.5


def test_a_refused_connection_ends_at_once(orca: OrcaEngine) -> None:
    found = run(orca, watch("1", f"https://console.lorafleet.test:{free_port()}/"), seconds=20)
    assert found["status"] == "TERMINAL"
    assert "ConnectException" in stage_of(found, "1")["context"]["webhook"]["error"]


def test_a_peer_that_goes_away_while_polled(orca: OrcaEngine, authority: Authority, answers: Answers, tmp_path: Path) -> None:
    peer = WebPeer("other.lorafleet.test", authority, tmp_path, answers)
    path = answers.new(RUNNING)
    execution = orca.submit(pipeline(watch("1", peer.url(path), **IGNORE), wait("2", "1")))
    wait_until(lambda: len(peer.asked(path)) > 2, 30, "it is polled")
    peer.refuse()
    assert refs(orca.wait(execution, 20)) == ("SUCCEEDED", {"1": "FAILED_CONTINUE", "2": "SUCCEEDED"})


def test_a_stranger_s_certificate_is_refused(orca: OrcaEngine, answers: Answers, tmp_path: Path) -> None:
    peer = WebPeer("other.lorafleet.test", Authority("a stranger"), tmp_path, answers)
    found = run(orca, watch("1", peer.url(answers.new(PASS))), seconds=20)
    peer.refuse()
    assert found["status"] == "TERMINAL"
    assert not peer.requests


def test_a_name_that_does_not_resolve_is_tried_again(orca: OrcaEngine) -> None:
    found = run(orca, watch("1", "https://nowhere.lorafleet.test/", stageTimeoutMs=3000), seconds=60)
    assert found["status"] == "TERMINAL"
    found_stage = stage_of(found, "1")
    assert "URI not valid" in found_stage["context"]["webhook"]["error"]
    assert found_stage["endTime"] - found_stage["startTime"] > 3000


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "console", "console.lorafleet.internal", "trainer.svc.cluster.local"])
def test_hosts_that_orca_refuses(orca: OrcaEngine, host: str) -> None:
    found = run(orca, watch("1", f"https://{host}:8443/"), seconds=20)
    assert found["status"] == "TERMINAL"
    assert "not allowed" in stage_of(found, "1")["context"]["webhook"]["error"]


def test_polls_every_second_for_a_minute_then_every_15(orca: OrcaEngine, peer: WebPeer, long_watch: tuple[str, str]) -> None:
    execution, path = long_watch

    def polls() -> list[float]:
        return [each.at for each in peer.asked(path) if each.method == "GET"]

    def slow() -> bool:
        gaps = [later - earlier for earlier, later in itertools.pairwise(polls())]
        return len(gaps) > 1 and min(gaps[-2:]) > 14

    wait_until(slow, 130, "two polls 15 s apart")
    orca.cancel(execution)
    orca.wait(execution, 30)
    first = polls()[0]
    assert len([at for at in polls() if at - first < 55]) > 35
