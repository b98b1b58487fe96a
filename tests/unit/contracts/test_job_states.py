import pytest

from lorafleet.contracts.job_states import ATTEMPT_TRANSITIONS, ENDINGS, JOB_TRANSITIONS, AttemptState, JobState
from lorafleet.contracts.outcomes import ExitCode, OutcomeClass


def test_each_state_has_its_transitions_and_none_leads_to_itself() -> None:
    for states, transitions in ((JobState, JOB_TRANSITIONS), (AttemptState, ATTEMPT_TRANSITIONS)):
        assert set(transitions) == set(states)
        assert all(state not in onward for state, onward in transitions.items())


@pytest.mark.parametrize(
    ("start", "transitions"), [(JobState.WAITING, JOB_TRANSITIONS), (AttemptState.LEASED, ATTEMPT_TRANSITIONS)]
)
def test_each_state_is_reached_and_each_way_can_end(start: str, transitions: dict[str, frozenset[str]]) -> None:
    def reached(state: str) -> set[str]:
        seen, ahead = {state}, [state]
        while ahead:
            fresh = transitions[ahead.pop()] - seen
            seen |= fresh
            ahead.extend(fresh)
        return seen

    ends = {state for state, onward in transitions.items() if not onward}
    assert reached(start) == set(transitions)
    assert all(reached(state) & ends for state in transitions)


def test_each_outcome_leads_where_the_transitions_allow() -> None:
    assert set(ENDINGS) == set(OutcomeClass)
    for attempt, job in ENDINGS.values():
        assert attempt in ATTEMPT_TRANSITIONS[AttemptState.TRAINING]
        assert job in JOB_TRANSITIONS[JobState.RUNNING]


def test_only_success_the_user_and_a_cancel_decide_a_job() -> None:
    ended = {outcome for outcome, ending in ENDINGS.items() if not JOB_TRANSITIONS[ending.job]}
    assert ended == {OutcomeClass.SUCCEEDED, OutcomeClass.USER, OutcomeClass.CANCELLED}
    assert ENDINGS[ExitCode.PREEMPTED.outcome].job is JobState.WAITING


def test_an_attempt_succeeds_only_after_its_first_heartbeat() -> None:
    assert AttemptState.SUCCEEDED not in ATTEMPT_TRANSITIONS[AttemptState.LEASED]
