from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafleet.console.domain.endings import MAX_FAILURES, after, after_revocation
from lorafleet.contracts.job_states import JOB_TRANSITIONS, JobState
from lorafleet.contracts.jobs import JobKind
from lorafleet.contracts.outcomes import OutcomeClass

outcomes, kinds = st.sampled_from(OutcomeClass), st.sampled_from(JobKind)


@given(outcomes, st.integers(0, 10), kinds, st.booleans())
def test_every_end_is_a_step_that_a_running_job_may_take(outcome: OutcomeClass, failures: int, kind: JobKind, cancel: bool) -> None:
    found = after(outcome, failures, kind, cancel)
    assert found.state in JOB_TRANSITIONS[JobState.RUNNING]
    assert found.failures in (failures, failures + 1)
    assert timedelta(0) <= found.pause <= timedelta(seconds=60)
    if found.state is JobState.WAITING:
        assert not cancel
        assert kind is JobKind.USER
        assert found.failures < MAX_FAILURES or outcome is OutcomeClass.PREEMPTED


@pytest.mark.parametrize("outcome", [OutcomeClass.PREEMPTED, OutcomeClass.CANCELLED, OutcomeClass.USER, OutcomeClass.SUCCEEDED])
def test_what_uses_up_no_attempt(outcome: OutcomeClass) -> None:
    assert after(outcome, 3, JobKind.USER, False).failures == 3


def test_pauses_double() -> None:
    pauses = [after(OutcomeClass.INFRASTRUCTURE, failures, JobKind.USER, False).pause for failures in range(MAX_FAILURES - 1)]
    assert [pause.total_seconds() for pause in pauses] == [0, 2, 4, 8]


def test_a_success_counts_whatever_was_asked() -> None:
    assert after(OutcomeClass.SUCCEEDED, 0, JobKind.PROBE, True).state is JobState.SUCCEEDED


def test_a_revoked_lease_is_no_failure() -> None:
    assert after_revocation(4, JobKind.USER, False) == after(OutcomeClass.PREEMPTED, 4, JobKind.USER, False)
    assert after_revocation(0, JobKind.USER, True).state is JobState.CANCELLED
    assert after_revocation(0, JobKind.PROBE, False).state is JobState.CANCELLED
