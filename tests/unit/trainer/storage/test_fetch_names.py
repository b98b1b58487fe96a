from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafleet.contracts.problems import ConfigError
from trainer.storage.fetch import files_of
from trainer.storage.store import ObjectFacts


def objects(**sizes: int) -> list[ObjectFacts]:
    return [ObjectFacts(name.replace("__", "/"), size, "") for name, size in sizes.items()]


def test_markers_of_folders_are_no_files() -> None:
    listed = [
        *objects(a=0, a__b=3, a__c=0, a__c__d=1, e=0),
        ObjectFacts("", 0, ""),
        ObjectFacts("f/", 0, ""),
        ObjectFacts("f/g", 1, ""),
    ]
    assert sorted(files_of(listed, "s3://b")) == ["a/b", "a/c/d", "e", "f/g"]


@pytest.mark.parametrize("name", ["../b", "/etc/passwd", "a/../../b", "a//b", "a\nb"])
def test_a_name_that_leads_out_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="the name"):
        files_of([ObjectFacts("fine", 1, ""), ObjectFacts(name, 1, "")], "s3://b")


@given(st.lists(st.tuples(st.text(max_size=8), st.integers(0, 3)), max_size=6))
def test_every_object_with_content_is_a_file_or_refused(listed: list[tuple[str, int]]) -> None:
    facts = [ObjectFacts(name, size, "") for name, size in listed]
    try:
        files = files_of(facts, "s3://b")
    except ConfigError:
        return
    assert all(Path("/root", *name.split("/")).is_relative_to("/root") and ".." not in name.split("/") for name in files)
    assert {name for name, size in listed if size} <= set(files)
