from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafleet.contracts import layout
from lorafleet.contracts.layout import StepObject
from lorafleet.contracts.problems import ConfigError

IDS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
PARTS = st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), min_size=1, max_size=12).filter(
    lambda part: part not in (".", "..") and not set(part) & {"/", "\\"}
)
NAMES = st.lists(PARTS, min_size=1, max_size=3).map("/".join)
FENCES = st.integers(1, 2**63 - 1)
STEPS = st.integers(0, 2**63 - 1)


def test_keys_are_those_of_the_design() -> None:
    assert layout.dataset_object("cats", "v1", "1/cat é.png") == "datasets/cats/v1/1/cat é.png"
    assert layout.step_object("job-1", 3, 200, "state.safetensors") == "jobs/job-1/attempts/3/step-200/state.safetensors"
    assert layout.sample_object("job-1", 3, 200, "0.png") == "jobs/job-1/samples/3/step-200/0.png"
    assert layout.output_object("job-1", 3, "style.safetensors") == "jobs/job-1/output/3/style.safetensors"
    assert layout.head("job-1") == "jobs/job-1/HEAD.json"


@given(IDS, FENCES, STEPS, NAMES)
def test_a_step_key_can_be_read_back(job: str, fence: int, step: int, name: str) -> None:
    key = layout.step_object(job, fence, step, name)
    assert layout.parse_step_object(key) == StepObject(job, fence, step, name)
    assert key.startswith(layout.step_prefix(job, fence, step))
    assert layout.step_prefix(job, fence, step).startswith(layout.attempt_prefix(job, fence))
    assert len(key.encode()) <= 1024


@given(st.text(max_size=80))
def test_no_text_makes_a_key_outside_its_folder(text: str) -> None:
    for make in (
        lambda: layout.step_object(text, 1, 1, "a"),
        lambda: layout.step_object("job", 1, 1, text),
        lambda: layout.dataset_object(text, "v1", "a"),
        lambda: layout.dataset_object("set", text, "a"),
    ):
        try:
            key = make()
        except ConfigError:
            continue
        assert not {"", ".", ".."} & set(key.split("/"))
        assert key.split("/")[0] in ("jobs", "datasets")


@given(IDS, FENCES, FENCES, STEPS, NAMES)
def test_two_attempts_never_share_a_key(job: str, one: int, other: int, step: int, name: str) -> None:
    makers: list[Callable[[int], str]] = [
        lambda fence: layout.step_object(job, fence, step, name),
        lambda fence: layout.sample_object(job, fence, step, name),
        lambda fence: layout.output_object(job, fence, name),
    ]
    for make in makers:
        assert (make(one) == make(other)) == (one == other)


@pytest.mark.parametrize("bad", ["", "-a", "a-", "A", "a_b", "a/b", "..", "a" * 64, "é", "a\n", "٣"])
def test_bad_ids_are_refused(bad: str) -> None:
    with pytest.raises(ConfigError, match="no id of a job"):
        layout.job_prefix(bad)


@pytest.mark.parametrize("bad", ["", "/a", "a/", "a//b", "../a", "a/./b", "a\\b", "a\nb", "a\x00", "x" * 701])
def test_bad_names_are_refused(bad: str) -> None:
    with pytest.raises(ConfigError, match="name"):
        layout.output_object("job", 1, bad)


def test_fences_start_at_one_and_steps_at_zero() -> None:
    with pytest.raises(ConfigError, match="fence 0"):
        layout.attempt_prefix("job", 0)
    with pytest.raises(ConfigError, match="step -1"):
        layout.step_prefix("job", 1, -1)


@pytest.mark.parametrize(
    "key",
    [
        "jobs/job/HEAD.json",
        "jobs/job/attempts/01/step-2/a",
        "jobs/job/attempts/1/step-02/a",
        "jobs/job/attempts/0/step-2/a",
        "jobs/job/attempts/1/step-2/",
        "jobs/job/attempts/1/step-2/../a",
        "jobs/Job/attempts/1/step-2/a",
        "jobs/job/attempts/9999999999999999999/step-2/a",
        "x/jobs/job/attempts/1/step-2/a",
    ],
)
def test_other_keys_are_no_step_keys(key: str) -> None:
    assert layout.parse_step_object(key) is None
