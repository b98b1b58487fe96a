"""Every program passes every rule, and for each rule and type there is a change of a real resource that it refuses."""

import dataclasses
import re
from collections import Counter

import pytest
from policy_mutations import MUTATIONS, Mutation
from policy_runs import PROGRAMS, all_findings, findings, stack_of

from infra.policy.rule import ANY, Resource, Stack
from infra.policy.rules import RULES

BY_CODE = {rule.code: rule for rule in RULES}


def mutated(mutation: Mutation) -> Stack:
    stack = stack_of(mutation.program)
    own = [each for each in stack.resources if (each.type, each.name) == (mutation.kind, mutation.name)]
    changed = mutation.change(own[0] if own else Resource(mutation.kind, mutation.name, {}))
    others = [each for each in stack.resources if each not in own]
    return dataclasses.replace(stack, resources=[*others, *([changed] if changed else [])])


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_passes(program: str) -> None:
    assert all_findings(stack_of(program)) == []


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: str(each))
def test_a_change_that_breaks_a_rule_is_refused(mutation: Mutation) -> None:
    found = list(findings(BY_CODE[mutation.code], mutated(mutation)))
    kind = mutation.kind if mutation.where == ANY else mutation.where
    assert len(found) == 1
    assert found[0].startswith(f"{kind}::")


def test_every_check_of_every_rule_has_a_mutation() -> None:
    wanted = {(rule.code, kind) for rule in RULES for kind in rule.checks}
    assert {(each.code, each.where) for each in MUTATIONS} == wanted


def test_codes_are_unique_and_in_order() -> None:
    codes = [rule.code for rule in RULES]
    assert codes == sorted(codes)
    assert [code for code, times in Counter(codes).items() if times > 1] == []
    assert all(re.fullmatch(r"POL1\d\d", code) for code in codes)


def test_every_rule_has_a_way_out() -> None:
    assert [rule.code for rule in RULES if not rule.mend or not rule.title] == []
