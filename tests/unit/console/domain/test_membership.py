"""Groups of a provider to a team and a role."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafleet.console.domain.membership import Membership, Rule, groups, membership
from lorafleet.console.domain.records import Role

ADMIN, TRAINER, VIEWER = Membership("fleet", Role.ADMIN), Membership("red", Role.TRAINER), Membership("red", Role.VIEWER)
RULES = (Rule("admins", ADMIN), Rule("makers", TRAINER), Rule("everyone", VIEWER))


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (["everyone"], VIEWER), (["everyone", "makers"], TRAINER), (["makers", "admins"], ADMIN), ("makers", TRAINER), ([], None),
        (["Makers"], None), (["makers "], None), (None, None), ({"makers": True}, None), (7, None), ([["makers"], 7, None], None),
        ("everyone, makers", None),
    ],
)  # fmt: skip
def test_the_first_rule_of_whose_group_the_person_is_counts(named: Any, expected: Membership | None) -> None:
    assert membership({"groups": named}, "groups", RULES) == expected


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        ("realm_access.roles", {"a"}), ("https://example.org/roles", {"b"}), ("realm_access", set()), ("realm_access.none", set()),
        ("none.none", set()), ("text.more", set()),
    ],
)  # fmt: skip
def test_a_claim_may_lie_in_an_object_or_have_dots_in_its_name(claim: str, expected: set[str]) -> None:
    claims = {"realm_access": {"roles": ["a"]}, "https://example.org/roles": ["b"], "text": "x"}
    assert groups(claims, claim) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda more: st.lists(more, max_size=3), max_leaves=8
)


@given(st.dictionaries(st.text(max_size=6), JSON, max_size=4), st.text(max_size=8))
def test_whatever_a_provider_says_a_membership_is_one_of_the_rules(claims: dict[str, Any], claim: str) -> None:
    found = membership(claims, claim, RULES)
    assert found is None or any(rule.group in groups(claims, claim) and rule.membership == found for rule in RULES)
