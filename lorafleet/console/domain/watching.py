"""How a watch of a candidate stands, and the verdict over all sites."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from lorafleet.contracts.release import Breach, Decision, OutcomeCounts, ReleaseState, Verdict
from lorafleet.contracts.release_api import StageAnswer, StageStatus


@dataclass(frozen=True)
class WatchFacts:
    """A running watch: ``elapsed`` seconds of ``seconds`` and ``deadline``. ``unanswered`` queries leave the guard blind."""

    site: str
    elapsed: float
    seconds: float
    deadline: float
    counts: OutcomeCounts
    min_samples: int
    unanswered: Sequence[str] = ()


def answer(facts: WatchFacts) -> StageAnswer:
    """PASS at ``seconds`` or later with enough samples and an answer to every query; FAIL at ``deadline`` without."""
    samples, needed = facts.counts.samples, facts.min_samples
    enough = samples >= needed
    if facts.elapsed >= facts.seconds and enough and not facts.unanswered:
        return StageAnswer(status=StageStatus.PASS, detail=f"{samples} samples in {facts.site}, {facts.counts.release} failed")
    if facts.elapsed >= facts.deadline:
        if not enough:
            return StageAnswer(status=StageStatus.FAIL, detail=f"too few samples: {samples} of {needed} in {facts.site}")
        return StageAnswer(status=StageStatus.FAIL, detail=f"no answer to {', '.join(facts.unanswered)}: nobody could judge it")
    left = max(facts.seconds - facts.elapsed, 0) if enough else facts.deadline - facts.elapsed
    detail = f"{samples} of {needed} samples in {facts.site}, {facts.counts.release} failed, at most {left:.0f} s left"
    return StageAnswer(status=StageStatus.RUNNING, detail=detail)


def verdict(
    state: ReleaseState,
    counts: Mapping[str, OutcomeCounts],
    newest_watches: Mapping[str, StageStatus],
    min_samples: int,
    quorum: int,
    breaches: Sequence[Breach],
    evaluated_at: datetime | None,
) -> Verdict:
    """``counts``: of the sites that were reached. ``newest_watches``: how each site's newest watch stands."""
    if breaches:
        decision = Decision.BREACH
    elif _passed(counts, newest_watches, min_samples, quorum):
        decision = Decision.PASSED
    elif StageStatus.FAIL in newest_watches.values() and state not in (ReleaseState.PROMOTING, ReleaseState.STABLE):
        decision = Decision.INCONCLUSIVE
    else:
        decision = Decision.WAITING
    return Verdict(
        decision=decision,
        counts=dict(counts),
        min_samples=min_samples,
        breaches=tuple(breaches),
        evaluated_at=evaluated_at,
    )


def _passed(counts: Mapping[str, OutcomeCounts], watches: Mapping[str, StageStatus], min_samples: int, quorum: int) -> bool:
    passed = [site for site, status in watches.items() if status is StageStatus.PASS]
    return len(passed) >= quorum and len(counts) > 0 and all(each.samples >= min_samples for each in counts.values())
