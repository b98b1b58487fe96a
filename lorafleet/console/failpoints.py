"""Places where a test ends the process as ``kill -9`` would: ``LORAFLEET_FAILPOINT=checkpoint.verified``."""

import os
import signal
from enum import StrEnum

VARIABLE = "LORAFLEET_FAILPOINT"


class Failpoint(StrEnum):
    """Each stands before or after something becomes durable."""

    DATASET_STORED = "dataset.stored"
    DATASET_COMMITTED = "dataset.committed"
    SUBMIT_COMMITTED = "submit.committed"
    LEASE_COMMITTED = "lease.committed"
    LEASE_BOUND = "lease.bound"
    HEARTBEAT_COMMITTED = "heartbeat.committed"
    CHECKPOINT_VERIFIED = "checkpoint.verified"
    CHECKPOINT_COMMITTED = "checkpoint.committed"
    OUTCOME_VERIFIED = "outcome.verified"
    OUTCOME_COMMITTED = "outcome.committed"
    CANCEL_COMMITTED = "cancel.committed"


def reach(point: Failpoint) -> None:
    """End the process here if the environment names this point: no handler, no clean-up, no answer."""
    if os.environ.get(VARIABLE) == point:
        os.kill(os.getpid(), signal.SIGKILL)
