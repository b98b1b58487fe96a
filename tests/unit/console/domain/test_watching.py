import pytest

from lorafleet.console.domain.watching import WatchFacts, answer, verdict
from lorafleet.contracts.release import Decision, OutcomeCounts, ReleaseState
from lorafleet.contracts.release_api import StageStatus

ENOUGH, FEW = OutcomeCounts(succeeded=19, release=1), OutcomeCounts(succeeded=12, user=50)


def facts(elapsed: float, counts: OutcomeCounts, unanswered: tuple[str, ...] = ()) -> WatchFacts:
    return WatchFacts("aws-eu", elapsed, 300, 600, counts, 20, unanswered)


@pytest.mark.parametrize(
    ("given", "status", "detail"),
    [
        (facts(0, ENOUGH), StageStatus.RUNNING, "20 of 20 samples in aws-eu, 1 failed, at most 300 s left"),
        (facts(299, ENOUGH), StageStatus.RUNNING, "20 of 20 samples in aws-eu, 1 failed, at most 1 s left"),
        (facts(300, ENOUGH), StageStatus.PASS, "20 samples in aws-eu, 1 failed"),
        (facts(599, FEW), StageStatus.RUNNING, "12 of 20 samples in aws-eu, 0 failed, at most 1 s left"),
        (facts(600, FEW), StageStatus.FAIL, "too few samples: 12 of 20 in aws-eu"),
        (facts(900, ENOUGH), StageStatus.PASS, "20 samples in aws-eu, 1 failed"),
        (facts(300, ENOUGH, ("gpuErrors",)), StageStatus.RUNNING, "20 of 20 samples in aws-eu, 1 failed, at most 0 s left"),
        (facts(600, ENOUGH, ("a", "b")), StageStatus.FAIL, "no answer to a, b: nobody could judge it"),
    ],
)
def test_how_a_watch_stands(given: WatchFacts, status: StageStatus, detail: str) -> None:
    assert (answer(given).status, answer(given).detail) == (status, detail)


@pytest.mark.parametrize(
    ("state", "counts", "watches", "quorum", "decision"),
    [
        (ReleaseState.PREPARING, {}, {}, 1, Decision.WAITING),
        (ReleaseState.WATCHING, {"a": ENOUGH}, {"a": StageStatus.RUNNING}, 1, Decision.WAITING),
        (ReleaseState.WATCHING, {"a": ENOUGH}, {"a": StageStatus.PASS}, 1, Decision.PASSED),
        (ReleaseState.WATCHING, {"a": ENOUGH}, {"a": StageStatus.PASS}, 2, Decision.WAITING),
        (ReleaseState.WATCHING, {"a": FEW}, {"a": StageStatus.FAIL}, 1, Decision.INCONCLUSIVE),
        (ReleaseState.PROMOTING, {"a": ENOUGH}, {"a": StageStatus.PASS, "b": StageStatus.FAIL}, 1, Decision.PASSED),
        (ReleaseState.STABLE, {"a": FEW}, {"a": StageStatus.FAIL}, 1, Decision.WAITING),
    ],
)
def test_the_verdict(
    state: ReleaseState, counts: dict[str, OutcomeCounts], watches: dict[str, StageStatus], quorum: int, decision: Decision
) -> None:
    assert verdict(state, counts, watches, 20, quorum, [], None).decision is decision
