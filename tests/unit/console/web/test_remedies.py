"""What is advised for a failed job is a job that may be submitted, and nothing is advised where nothing is known."""

from dataclasses import replace

import pytest

from lorafleet.console.domain.requests import again, submission
from lorafleet.console.web.language import language
from lorafleet.console.web.remedies import remedy
from lorafleet.contracts.job_states import JobState
from lorafleet.contracts.outcomes import ExitCode, OutcomeClass
from tests.unit.console.web.test_wording import ATTEMPT, JOB

ENGLISH = language("en")
TRAINING = {"base_model": "b", "batch_size": 4, "learning_rate": 2e-4, "train_data_dir": "dataset", "output_dir": "output"}
FAILED = replace(JOB, state=JobState.FAILED, training=TRAINING)


@pytest.mark.parametrize("code", list(ExitCode))
def test_every_failure_has_advice_whose_changes_make_a_job(code: ExitCode) -> None:
    found = remedy(ENGLISH, FAILED, replace(ATTEMPT, exit_code=code, outcome=code.outcome))
    assert found is not None
    assert found.title
    assert found.advice
    assert submission(again(FAILED, changes=found.changes), "v-1", None).training["base_model"] == "b"


def test_too_little_memory_halves_the_batch_and_keeps_the_pictures_of_a_step() -> None:
    last = replace(ATTEMPT, exit_code=ExitCode.OUT_OF_MEMORY, outcome=OutcomeClass.USER)
    found = remedy(ENGLISH, FAILED, last)
    assert found is not None
    assert found.changes == {"batch_size": 2, "gradient_accumulation": 2, "gradient_checkpointing": True}
    small = replace(FAILED, training={**TRAINING, "batch_size": 1, "gradient_checkpointing": True})
    found = remedy(ENGLISH, small, last)
    assert found is not None
    assert found.changes == {}


def test_an_infinite_loss_gets_a_smaller_rate() -> None:
    found = remedy(ENGLISH, FAILED, replace(ATTEMPT, exit_code=ExitCode.NON_FINITE, outcome=OutcomeClass.USER))
    assert found is not None
    assert found.changes["learning_rate"] == pytest.approx(5e-5)


def test_only_a_failed_job_has_one() -> None:
    for state in set(JobState) - {JobState.FAILED}:
        assert remedy(ENGLISH, replace(FAILED, state=state), ATTEMPT) is None
    assert remedy(ENGLISH, FAILED, None) is None
