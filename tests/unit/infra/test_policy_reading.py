from typing import Any

import pytest

from infra.policy.reading import UNKNOWN, NotKnownYet, at, given, items, known, open_to_the_world, statements, texts

PROPS: dict[str, Any] = {
    "a": {"b": 1, "later": UNKNOWN},
    "list": [{"b": 2}],
    "mixed": ["x", UNKNOWN],
    "empty": {},
    "later": UNKNOWN,
}


@pytest.mark.parametrize(
    ("ranges", "is_open"),
    [
        ("0.0.0.0/0", True),
        ("::/0", True),
        ("128.0.0.0/1", True),
        ("10.0.0.0/7", True),
        ("10.0.0.0/8", False),
        ("203.0.113.7", False),
        ("2001:db8::/32", False),
        ("*", True),
        ("Internet", True),
        ("VirtualNetwork", False),
    ],
)
def test_what_is_open_to_the_world(ranges: str, is_open: bool) -> None:
    assert open_to_the_world(ranges) is is_open


def test_a_path_leads_through_lists_of_one() -> None:
    assert (at(PROPS, "a", "b"), at(PROPS, "list", "b"), at(PROPS, "a", "c", "d")) == (1, 2, None)


@pytest.mark.parametrize("path", [("later",), ("later", "b"), ("a", "later")])
def test_what_is_not_known_is_given_and_cannot_be_read(path: tuple[str, ...]) -> None:
    assert given(PROPS, *path)
    with pytest.raises(NotKnownYet):
        at(PROPS, *path)


def test_nothing_and_emptiness_are_not_given() -> None:
    assert not given(PROPS, "empty")
    assert not given(PROPS, "a", "c")
    assert given(PROPS, "a", "b")


def test_a_list_with_an_item_that_is_not_known() -> None:
    assert known(PROPS, "mixed") == ["x"]
    assert items(PROPS, "missing") == ()
    with pytest.raises(NotKnownYet):
        items(PROPS, "mixed")


def test_policy_documents_are_read_as_aws_writes_them() -> None:
    one = '{"Statement": {"Effect": "Allow", "Action": "s3:*"}}'
    assert [each["Action"] for each in statements({"policy": one}, "policy")] == ["s3:*"]
    assert statements({}, "policy") == []
    assert (texts("a"), texts(["a", "b"]), texts(None)) == (["a"], ["a", "b"], [])
