import signal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorafleet.contracts.job_states import ENDINGS
from lorafleet.contracts.outcomes import ExitCode, OutcomeClass
from lorafleet.contracts.problems import Problem
from trainer.worker.classify import Intent, Told, classify

codes = st.integers(-64, 255)
tolds = st.none() | st.builds(Told, codes.filter(lambda code: code >= 0), st.just(()))


@settings(deadline=None)
@given(codes, tolds, st.sampled_from(Intent))
def test_a_success_is_told_and_never_guessed(code: int, told: Told | None, intent: Intent) -> None:
    ending = classify(code, told, intent)
    assert (ending.outcome is OutcomeClass.SUCCEEDED) == (ending.exit_code == 0)
    if ending.outcome is OutcomeClass.SUCCEEDED:
        assert told is not None
        assert told.exit_code == ExitCode.FINISHED
    assert ending.outcome in ENDINGS


@pytest.mark.parametrize("code", list(ExitCode))
def test_what_the_process_says_of_itself_counts(code: ExitCode) -> None:
    problem = Problem("what it said")
    ending = classify(0, Told(code, (problem,)))
    expected = OutcomeClass.PREEMPTED if code is ExitCode.INTERRUPTED else code.outcome
    assert (ending.outcome, ending.exit_code, ending.problems) == (expected, code, (problem,))


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (signal.SIGKILL, OutcomeClass.INFRASTRUCTURE),
        (signal.SIGBUS, OutcomeClass.INFRASTRUCTURE),
        (signal.SIGSEGV, OutcomeClass.RELEASE),
        (signal.SIGABRT, OutcomeClass.RELEASE),
        (signal.SIGILL, OutcomeClass.RELEASE),
        (signal.SIGTERM, OutcomeClass.PREEMPTED),
    ],
)
def test_signals_that_end_a_process_without_a_word(number: signal.Signals, expected: OutcomeClass) -> None:
    for code in (-number, 128 + number):
        ending = classify(code, None)
        assert (ending.outcome, ending.exit_code) == (expected, code)
        assert number.name in ending.problems[0].what


def test_silent_exits_are_the_releases_fault() -> None:
    assert classify(0, None).exit_code == 1
    assert [classify(code, None).outcome for code in (0, 1, 65, 75)] == [OutcomeClass.RELEASE] * 4


def test_a_broken_card_is_told_from_a_broken_release() -> None:
    said = {
        "AcceleratorError: CUDA error: uncorrectable ECC error encountered": OutcomeClass.INFRASTRUCTURE,
        "RuntimeError: GPU has fallen off the bus": OutcomeClass.INFRASTRUCTURE,
        "AcceleratorError: CUDA error: an illegal memory access was encountered": OutcomeClass.RELEASE,
        "KeyError: 'x'": OutcomeClass.RELEASE,
    }
    assert {text: classify(1, Told(1, (Problem(text),))).outcome for text in said} == said


def test_what_the_worker_did_itself() -> None:
    assert classify(-9, None, Intent.STOPPED).outcome is OutcomeClass.CANCELLED
    assert classify(-9, None, Intent.STALLED).outcome is OutcomeClass.RELEASE
    assert classify(-9, None, Intent.DRAINED).outcome is OutcomeClass.PREEMPTED
    # It handed back in the last moment.
    assert classify(-9, Told(ExitCode.PREEMPTED), Intent.DRAINED).exit_code == ExitCode.PREEMPTED
