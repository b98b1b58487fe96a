import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafleet.contracts.layout import (
    KEY_BYTES,
    DatasetObject,
    checked_key,
    dataset_object,
    head,
    output_object,
    parse_dataset_object,
    sample_object,
    step_object,
)
from lorafleet.contracts.problems import ConfigError

names = st.text(min_size=1, max_size=20)


@given(st.sampled_from(["a", "cats-1"]), st.sampled_from(["v1", "0"]), names)
def test_a_data_set_files_key_is_read_back(dataset: str, version: str, name: str) -> None:
    try:
        key = dataset_object(dataset, version, name)
    except ConfigError:
        assert parse_dataset_object(f"datasets/{dataset}/{version}/{name}") is None
    else:
        assert parse_dataset_object(key) == DatasetObject(dataset, version, name)


@pytest.mark.parametrize(
    "key", ["datasets/a/v1", "datasets/a/v1/", "datasets/A/v1/x", "jobs/a/v1/x", "x/datasets/a/v1/x", "datasets/a/v1/../x"]
)
def test_other_keys_are_no_data_set_files(key: str) -> None:
    assert parse_dataset_object(key) is None


@given(names)
def test_every_key_of_the_layout_is_one(name: str) -> None:
    for make in (
        lambda: dataset_object("a", "v1", name),
        lambda: step_object("a", 1, 2, name),
        lambda: sample_object("a", 1, 2, name),
        lambda: output_object("a", 1, name),
        lambda: head("a"),
    ):
        try:
            key = make()
        except ConfigError:
            continue
        assert checked_key(key) == key


@pytest.mark.parametrize(
    "key", ["", "/a", "a/", "a//b", "../a", "a/./b", "a\\b", "a\0", "a\u202eb", "a\ud800", "x" * (KEY_BYTES + 1), "猫" * 342]
)
def test_what_is_no_key(key: str) -> None:
    with pytest.raises(ConfigError):
        checked_key(key)


def test_the_longest_key() -> None:
    assert checked_key("x" * KEY_BYTES)
