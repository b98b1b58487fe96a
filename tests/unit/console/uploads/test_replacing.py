import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafleet.console.uploads.refusals import UploadRefused
from lorafleet.console.uploads.replacing import Change, find_replace

CAPTIONS = {"a.png": "a cat and a cat", "b.png": "a dog", "c.png": "1 cat"}


def test_the_changes_are_shown_and_nothing_is_changed() -> None:
    before = dict(CAPTIONS)
    assert find_replace(CAPTIONS, "cat", "lynx") == [
        Change("a.png", "a cat and a cat", "a lynx and a lynx"),
        Change("c.png", "1 cat", "1 lynx"),
    ]
    assert before == CAPTIONS


def test_white_space_stays_in_order() -> None:
    assert find_replace(CAPTIONS, "cat and a", "") == [Change("a.png", "a cat and a cat", "a cat")]


def test_expressions_may_name_groups() -> None:
    assert find_replace(CAPTIONS, r"^(\w+) (\w+)$", r"\2 \1", regex=True) == [
        Change("b.png", "a dog", "dog a"),
        Change("c.png", "1 cat", "cat 1"),
    ]


def test_without_regex_nothing_is_special() -> None:
    assert find_replace({"a": "a.c abc"}, "a.c", r"\1") == [Change("a", "a.c abc", r"\1 abc")]


@pytest.mark.parametrize(
    ("find", "replace", "message"),
    [
        ("", "x", "nothing to find"),
        ("(", "x", "is wrong"),
        ("a", r"\1", "is wrong"),
        ("x" * 1001, "", "more than 1000"),
        ("(a+)+$", "", "longer"),
    ],
)
def test_what_is_refused(find: str, replace: str, message: str) -> None:
    with pytest.raises(UploadRefused, match=message):
        find_replace({"a": "a" * 60 + "!"}, find, replace, regex=True)


@given(
    st.dictionaries(st.text(max_size=3), st.text(st.sampled_from("ab "), max_size=8)),
    st.text(st.sampled_from("ab"), min_size=1, max_size=3),
)
def test_only_real_changes_are_listed(captions: dict[str, str], find: str) -> None:
    changes = find_replace(captions, find, "x")
    assert [change.file for change in changes] == sorted(change.file for change in changes)
    for change in changes:
        assert (
            find in captions[change.file] or "  " in captions[change.file] or captions[change.file] != captions[change.file].strip()
        )
        assert change.before == captions[change.file] != change.after
