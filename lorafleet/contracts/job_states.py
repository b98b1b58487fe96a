"""What a job and its attempts may become, as data."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from lorafleet.contracts.outcomes import OutcomeClass


class JobState(StrEnum):
    """Where a job stands. ``waiting`` also holds jobs whose last attempt ended without deciding them."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class AttemptState(StrEnum):
    """Where one attempt stands. ``lost``: no heartbeat by the deadline; ``revoked``: its release was taken back."""

    LEASED = "leased"
    TRAINING = "training"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PREEMPTED = "preempted"
    LOST = "lost"
    REVOKED = "revoked"


# A waiting job fails when it has used up its attempts. Running again after the end is a new job.
JOB_TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    JobState.WAITING: frozenset({JobState.RUNNING, JobState.FAILED, JobState.CANCELLED}),
    JobState.RUNNING: frozenset({JobState.WAITING, JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}

_UNFINISHED_ENDS = frozenset(
    {AttemptState.FAILED, AttemptState.CANCELLED, AttemptState.PREEMPTED, AttemptState.LOST, AttemptState.REVOKED}
)

# The first heartbeat, after CUDA init, makes a leased attempt a training one; only that can succeed.
ATTEMPT_TRANSITIONS: Mapping[AttemptState, frozenset[AttemptState]] = {
    AttemptState.LEASED: _UNFINISHED_ENDS | {AttemptState.TRAINING},
    AttemptState.TRAINING: _UNFINISHED_ENDS | {AttemptState.SUCCEEDED},
    AttemptState.SUCCEEDED: frozenset(),
    AttemptState.FAILED: frozenset(),
    AttemptState.CANCELLED: frozenset(),
    AttemptState.PREEMPTED: frozenset(),
    AttemptState.LOST: frozenset(),
    AttemptState.REVOKED: frozenset(),
}


class Ending(NamedTuple):
    """What an outcome makes of the attempt and of its job."""

    attempt: AttemptState
    job: JobState


# Only a person's own data or configuration fails a job for good; whatever else ended the attempt, the job goes on elsewhere.
ENDINGS: Mapping[OutcomeClass, Ending] = {
    OutcomeClass.SUCCEEDED: Ending(AttemptState.SUCCEEDED, JobState.SUCCEEDED),
    OutcomeClass.RELEASE: Ending(AttemptState.FAILED, JobState.WAITING),
    OutcomeClass.USER: Ending(AttemptState.FAILED, JobState.FAILED),
    OutcomeClass.INFRASTRUCTURE: Ending(AttemptState.FAILED, JobState.WAITING),
    OutcomeClass.CANCELLED: Ending(AttemptState.CANCELLED, JobState.CANCELLED),
    OutcomeClass.PREEMPTED: Ending(AttemptState.PREEMPTED, JobState.WAITING),
}
