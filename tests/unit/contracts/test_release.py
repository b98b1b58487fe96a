from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lorafleet.contracts.outcomes import OutcomeClass
from lorafleet.contracts.release import (
    RELEASE_TRANSITIONS,
    Breach,
    Decision,
    OutcomeCounts,
    Release,
    ReleaseState,
    Track,
    Verdict,
    total,
)
from lorafleet.contracts.shares import ALL, NONE, Share

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DIGEST = "sha256:0123456789abcdef" + "0" * 48
SITES = [
    {"site": "aws", "strategy": "canary", "target_size": 3, "first_share": "10%", "step": 1},
    {"site": "gcp", "strategy": "bluegreen", "target_size": 2, "first_share": "100%"},
    {"site": "azure", "strategy": "rolling", "target_size": 2, "first_share": "25%", "step": 3},
]
BROKEN = {"site": "gcp", "at": NOW, "condition": "errorRate > 5%", "value": 0.2}
COUNTS = st.builds(OutcomeCounts, **{name: st.integers(0, 1000) for name in OutcomeCounts.model_fields})


def release(**changes: Any) -> Release:
    return Release.model_validate({"digest": DIGEST, "state": "watching", "sites": SITES, **changes})


def test_things_are_named_by_twelve_digits() -> None:
    assert release().digest12 == "0123456789ab"
    assert release().workload == "trainer-0123456789ab"
    with pytest.raises(ValidationError):
        release(digest="lora-scripts:latest")


def test_each_site_has_its_own_share() -> None:
    watched = release()
    assert (watched.share("aws"), watched.share("gcp"), watched.share("azure")) == (Share(1000), NONE, Share(7500))
    with pytest.raises(KeyError):
        watched.share("moon")


@pytest.mark.parametrize("state", ReleaseState)
def test_a_release_gets_requests_only_while_it_is_at_work(state: ReleaseState) -> None:
    shares = {release(state=state).share(site) for site in ("aws", "gcp", "azure")}
    assert (shares == {NONE}) == (state in (ReleaseState.PREPARING, ReleaseState.ROLLED_BACK, ReleaseState.RETIRED))


def test_a_breach_in_one_site_takes_the_share_in_every_one() -> None:
    broken = release(verdict={"decision": "breach", "breaches": [BROKEN]})
    assert {broken.share(site) for site in ("aws", "gcp", "azure")} == {NONE}
    with pytest.raises(ValidationError, match="not promoted"):
        release(state="promoting", verdict=broken.verdict)


def test_too_few_samples_are_no_pass() -> None:
    enough = {"succeeded": 15, "release": 5}
    for counts in ({}, {"aws": {"succeeded": 19}}, {"aws": enough, "gcp": {"succeeded": 10, "user": 90, "infrastructure": 9}}):
        with pytest.raises(ValidationError, match="too few is not a pass"):
            Verdict.model_validate({"decision": "passed", "counts": counts})
        Verdict.model_validate({"decision": "inconclusive", "counts": counts})
    assert Verdict.model_validate({"decision": "passed", "counts": {"aws": enough}}).lacking == {}
    assert Verdict.model_validate({"min_samples": 3, "decision": "passed", "counts": {"aws": {"succeeded": 3}}}).lacking == {}


def test_what_each_site_lacks_is_what_probes_bring() -> None:
    verdict = Verdict.model_validate({"counts": {"aws": {"succeeded": 12, "user": 9}, "gcp": {"succeeded": 30}, "azure": {}}})
    assert verdict.lacking == {"aws": 8, "azure": 20}


@pytest.mark.parametrize("state", ["promoting", "stable"])
def test_too_few_samples_are_not_promoted(state: str) -> None:
    with pytest.raises(ValidationError, match="not promoted"):
        release(state=state, verdict={"decision": "inconclusive"})
    assert release(state="watching", verdict={"decision": "inconclusive"})


def test_tracks() -> None:
    assert release().track is Track.CANDIDATE
    assert release(state="stable").track is Track.STABLE
    assert release(state="rolled_back").track is None


def test_a_release_survives_json() -> None:
    full = release(
        verdict={"decision": "breach", "breaches": [BROKEN], "counts": {"gcp": {"release": 2, "succeeded": 8}}, "evaluated_at": NOW}
    )
    assert Release.model_validate_json(full.model_dump_json()) == full


@pytest.mark.parametrize(
    "sites",
    [
        [],
        [SITES[0], SITES[0]],
        [{**SITES[0], "step": 3}],
        [{**SITES[0], "first_share": "0%"}],
        [{**SITES[1], "first_share": "10%"}],
    ],
)
def test_sites_that_do_not_fit_together(sites: list[dict[str, Any]]) -> None:
    with pytest.raises(ValidationError):
        release(sites=sites)


def test_every_end_is_reached_and_the_stable_one_is_never_rolled_back() -> None:
    assert set(RELEASE_TRANSITIONS) == set(ReleaseState)
    seen, ahead = {ReleaseState.PREPARING}, [ReleaseState.PREPARING]
    while ahead:
        fresh = RELEASE_TRANSITIONS[ahead.pop()] - seen
        seen |= fresh
        ahead.extend(fresh)
    assert seen == set(ReleaseState)
    assert ReleaseState.ROLLED_BACK not in RELEASE_TRANSITIONS[ReleaseState.STABLE]
    for state in (ReleaseState.PREPARING, ReleaseState.WATCHING, ReleaseState.PROMOTING):
        assert ReleaseState.ROLLED_BACK in RELEASE_TRANSITIONS[state]


@given(st.lists(st.sampled_from(OutcomeClass), max_size=60))
def test_only_failures_by_the_release_count_as_errors(outcomes: list[OutcomeClass]) -> None:
    counts = OutcomeCounts()
    for outcome in outcomes:
        counts = counts.after(outcome)
    failed, fine = outcomes.count(OutcomeClass.RELEASE), outcomes.count(OutcomeClass.SUCCEEDED)
    assert counts.samples == failed + fine
    assert counts.error_rate == (failed / (failed + fine) if failed + fine else None)
    assert sum(counts.model_dump().values()) == len(outcomes)


@given(
    COUNTS, st.sampled_from([outcome for outcome in OutcomeClass if outcome not in (OutcomeClass.SUCCEEDED, OutcomeClass.RELEASE)])
)
def test_what_says_nothing_of_the_release_neither_blames_nor_excuses_it(counts: OutcomeCounts, outcome: OutcomeClass) -> None:
    later = counts.after(outcome)
    assert (later.samples, later.error_rate) == (counts.samples, counts.error_rate)


@given(st.dictionaries(st.sampled_from(["aws", "gcp", "azure"]), COUNTS))
def test_sites_add_up(counts: dict[str, OutcomeCounts]) -> None:
    for name in OutcomeCounts.model_fields:
        assert getattr(total(counts), name) == sum(getattr(site, name) for site in counts.values())


def test_there_is_a_count_for_each_outcome() -> None:
    assert set(OutcomeCounts.model_fields) == {outcome.value for outcome in OutcomeClass}


@pytest.mark.parametrize(
    "change",
    [
        {"condition": None, "value": None},
        {"fault": "cuda_init"},
        {"value": None},
        {"condition": None},
        {"value": 0.05},
        {"condition": None, "value": 1.0, "fault": "smoke_job"},
    ],
)
def test_a_breach_has_one_reason_that_holds(change: dict[str, Any]) -> None:
    Breach.model_validate(BROKEN)
    Breach.model_validate({"site": "gcp", "at": NOW, "fault": "cuda_init"})
    with pytest.raises(ValidationError):
        Breach.model_validate({**BROKEN, **change})


def test_a_verdict_of_breach_names_one() -> None:
    assert Verdict().decision is Decision.WAITING
    with pytest.raises(ValidationError, match="exactly where it names one"):
        Verdict(decision=Decision.BREACH)
    with pytest.raises(ValidationError, match="exactly where it names one"):
        Verdict.model_validate({"decision": "passed", "breaches": [BROKEN]})


def test_a_stable_release_has_every_request() -> None:
    done = [{**site, "step": step} for site, step in zip(SITES, (2, 1, 4), strict=True)]
    assert {release(state="stable", sites=done).share(site) for site in ("aws", "gcp", "azure")} == {ALL}
