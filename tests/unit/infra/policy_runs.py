"""Holds recorded programs against the rules, as the engine would."""

import dataclasses
import functools
import json
from collections.abc import Iterator

from postgres_program import STANDBY, configured
from postgres_program import program as postgres
from recorded_incluster import KINDS, recorded_incluster
from recorded_program import SITES, Recording, example, recorded

from infra.policy.rule import Resource, Rule, Stack, StackRule
from infra.policy.rules import RULES


def resources_of(recording: Recording) -> list[Resource]:
    """What the engine shows a pack: every resource, and the stack with its outputs."""
    found = [
        Resource(each.type, each.name, each.inputs, each.protect, each.provider.split("::")[-1], each.label)
        for each in recording.resources
    ]
    return [*found, Resource("pulumi:pulumi:Stack", "stack", dict(recording.outputs))]


INCLUSTER = {f"{kind}-incluster": kind for kind in KINDS}
PROGRAMS = (*SITES, *INCLUSTER, "postgres")


@functools.cache
def _recorded(program: str) -> Recording:
    if program in INCLUSTER:
        return recorded_incluster(INCLUSTER[program])
    return postgres(configured(STANDBY)) if program == "postgres" else recorded(program)


def stack_of(program: str) -> Stack:
    """What a program declares, anew for each caller: a test may change it. All but ``postgres`` are of the repository's stack files."""
    nodes = {pool.name: pool.max for pool in example(program).pools} if program in SITES else {}
    resources = resources_of(_recorded(program))
    return Stack([dataclasses.replace(each, props=json.loads(json.dumps(each.props))) for each in resources], nodes)


def findings(rule: Rule | StackRule, stack: Stack) -> Iterator[str]:
    """``resource: what`` for each finding of a rule."""
    if isinstance(rule, Rule):
        for resource in stack.resources:
            yield from (f"{resource.type}::{resource.name}: {what}" for what in rule.findings(resource))
    else:
        yield from (f"{resource.type}::{resource.name}: {what}" for resource, what in rule.findings(stack))


def all_findings(stack: Stack) -> list[str]:
    """Every finding of every rule, with its code."""
    return [f"{rule.code} {found}" for rule in RULES for found in findings(rule, stack)]
