"""Every reason for waiting that the console gives is found again in words, so that none stays English on a Chinese page."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from lorafleet.console.domain.records import AttemptRecord, JobRecord
from lorafleet.console.domain.waiting import WaitingFacts, reason
from lorafleet.console.web import wording
from lorafleet.console.web.language import language
from lorafleet.contracts.job_states import AttemptState, JobState
from lorafleet.contracts.jobs import JobKind, Order, Phase, ReportedProblem
from lorafleet.contracts.outcomes import OutcomeClass
from lorafleet.contracts.release import Decision, HardFault, ReleaseState, Track

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
GPUS = st.sampled_from(["no GPU", "1 GPU", "2 GPUs", "1 GPU with 24 GiB", "8 GPUs with 80 GiB"])
COUNTS = st.integers(0, 3)
FACTS = st.builds(
    WaitingFacts,
    now=st.just(NOW),
    not_before=st.sampled_from([NOW, NOW + timedelta(seconds=90)]),
    workers=COUNTS,
    fitting=COUNTS,
    needs=GPUS,
    largest=GPUS,
    takers=COUNTS,
    candidate_sites=st.sampled_from([(), ("aws-eu",), ("aws-eu", "gcp-us")]),
    idle=COUNTS,
    before=st.sampled_from([None, 0, 1, 7]),
    quota=st.sampled_from([None, 3]),
    near_until=st.sampled_from([None, NOW + timedelta(seconds=5)]),
)
CHINESE, ENGLISH = language("zh"), language("en")

JOB = JobRecord(
    "job-1", "default", "neon", JobKind.USER, JobState.RUNNING, "set-1", "v-1", {}, 0, "ann", NOW, step=120, total_steps=400,
    seconds_left=360.0, site="aws-eu",
)  # fmt: skip
ATTEMPT = AttemptRecord(
    "job-1",
    1,
    "aws-eu",
    "w",
    f"sha256:{'a' * 64}",
    Track.STABLE,
    AttemptState.TRAINING,
    NOW,
    NOW,
    first_heartbeat_at=NOW,
    phase=Phase.TRAINING,
)


@given(FACTS)
def test_every_reason_is_said_in_both_languages(facts: WaitingFacts) -> None:
    said = wording.waiting(CHINESE, reason(facts))
    assert re.search(r"[\u4e00-\u9fff]", said)
    left = re.sub(r"GPU|GiB|aws-eu|gcp-us", "", said)
    assert not re.search(r"[A-Za-z]", left), said
    english = wording.waiting(ENGLISH, reason(facts))
    assert english.lower().removesuffix(".").split()[-1] == reason(facts).lower().removesuffix(".").split()[-1] or "in" in english


def test_a_reason_that_is_not_known_stays_as_it_is() -> None:
    assert wording.waiting(CHINESE, "Something new.") == "Something new."


def test_every_state_has_words_of_its_own() -> None:
    for say, values in (
        (wording.job_state, JobState), (wording.attempt_state, AttemptState), (wording.phase, Phase), (wording.outcome, OutcomeClass),
        (wording.order, Order), (wording.release_state, ReleaseState), (wording.decision, Decision), (wording.fault, HardFault),
    ):  # fmt: skip
        said = [say(ENGLISH, value) for value in values]  # type: ignore[operator]
        assert len(set(said)) == len(said)


def test_a_running_job_in_words() -> None:
    def sentence(attempt: AttemptRecord | None = ATTEMPT, **changes: object) -> str:
        return wording.sentence(ENGLISH, replace(JOB, **changes), attempt, NOW)  # type: ignore[arg-type]

    assert sentence() == "Training in aws-eu, step 120 of 400. About 6 min left."
    assert sentence(replace(ATTEMPT, first_heartbeat_at=None)) == "Starting in aws-eu: loading the model and the data."
    assert sentence(replace(ATTEMPT, phase=Phase.SAVING)) == "At step 120 of 400 in aws-eu: saving."
    assert sentence(cancel_requested=True) == "It is being stopped in aws-eu."
    unknown = sentence(unknown_since=NOW - timedelta(seconds=40), published_step=100)
    assert unknown.startswith("Nothing was heard from aws-eu for 40 sec.")
    assert unknown.endswith("Everything up to step 100 is safe.")


def test_an_ended_job_in_words() -> None:
    def sentence(**changes: object) -> str:
        return wording.sentence(ENGLISH, replace(JOB, **changes), ATTEMPT, NOW)  # type: ignore[arg-type]

    assert sentence(state=JobState.SUCCEEDED) == "Finished at step 120. The weights are in two stores."
    assert sentence(state=JobState.FAILED) == "Failed: it has used up its attempts"
    assert sentence(state=JobState.FAILED, problems=(ReportedProblem(what="no image"),)) == "Failed: no image"
    assert sentence(state=JobState.CANCELLED, published_step=7) == "Stopped. Everything up to step 7 is safe."
