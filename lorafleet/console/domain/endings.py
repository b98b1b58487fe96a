"""What the end of an attempt makes of its job.

The table is :data:`lorafleet.contracts.job_states.ENDINGS`. Beyond it: a job whose attempts fail again and again without a published
step in between is failed at last, a job that is to be cancelled does not wait again, and a probe is over with its only attempt.
"""

from dataclasses import dataclass
from datetime import timedelta

from lorafleet.contracts.job_states import ENDINGS, AttemptState, JobState
from lorafleet.contracts.jobs import JobKind
from lorafleet.contracts.outcomes import OutcomeClass

MAX_FAILURES = 5
"""So many attempts may fail one after the other, by release, infrastructure or loss, without a new published step."""

_FAILURES = (OutcomeClass.RELEASE, OutcomeClass.INFRASTRUCTURE)
_LONGEST_PAUSE = timedelta(seconds=60)


@dataclass(frozen=True)
class After:
    """The job's state, its count of failures, and how long it stays out of the queue."""

    state: JobState
    failures: int
    pause: timedelta = timedelta(0)


def after(outcome: OutcomeClass, failures: int, kind: JobKind, cancel_requested: bool) -> After:
    """What becomes of a job whose attempt ended so. ``failures`` were counted before it.

    The first failure costs no time; from the second on the job pauses, doubling each time, so that one broken node or store does not
    use up all attempts within a second.
    """
    state = ENDINGS[outcome].job
    if outcome in _FAILURES:
        failures += 1
    if state is not JobState.WAITING:
        return After(state, failures)
    if cancel_requested:
        return After(JobState.CANCELLED, failures)
    if kind is JobKind.PROBE:
        return After(JobState.FAILED if outcome in _FAILURES else JobState.CANCELLED, failures)
    if outcome in _FAILURES and failures >= MAX_FAILURES:
        return After(JobState.FAILED, failures)
    pause = timedelta(seconds=2 ** (failures - 1)) if outcome in _FAILURES and failures > 1 else timedelta(0)
    return After(JobState.WAITING, failures, min(pause, _LONGEST_PAUSE))


def after_revocation(failures: int, kind: JobKind, cancel_requested: bool) -> After:
    """What becomes of a job whose lease was taken back with its release: nothing of it is the job's fault."""
    if cancel_requested or kind is JobKind.PROBE:
        return After(JobState.CANCELLED, failures)
    return After(JobState.WAITING, failures)


def attempt_state(outcome: OutcomeClass) -> AttemptState:
    """The attempt's own end."""
    return ENDINGS[outcome].attempt
