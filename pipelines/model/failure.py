"""What a stage's failure means to the run."""

from enum import Enum


class FailureStrategy(Enum):
    """The four triples that Spinnaker's editor writes: failPipeline, continuePipeline, completeOtherBranchesThenFail.

    Source: ``OverrideFailure.tsx`` of Deck, ``failureStatus()`` of Orca.
    """

    HALT_PIPELINE = (True, False, False)
    """TERMINAL: the run ends at once and what runs beside it is cancelled."""
    HALT_BRANCH = (False, False, False)
    """STOPPED: a join behind it never starts and the run may still say SUCCEEDED. Nothing here uses it."""
    HALT_BRANCH_THEN_FAIL = (False, False, True)
    """STOPPED, and the run fails once the other branches have ended."""
    IGNORE = (False, True, False)
    """FAILED_CONTINUE: what follows starts, and must ask for this stage's status."""

    def to_json(self) -> dict[str, bool]:
        """The three flags of a stage."""
        fail, proceed, others_first = self.value
        return {"failPipeline": fail, "continuePipeline": proceed, "completeOtherBranchesThenFail": others_first}
