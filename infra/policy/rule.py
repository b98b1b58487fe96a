"""Rules over what a program declares: pure, so that a test runs them over recorded resources and the engine over real ones."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ANY = "*"
"""The key of a check of every resource."""


@dataclass(frozen=True)
class Resource:
    """One resource of a stack. ``props`` have their names on the wire; ``provider`` is the name of its provider's resource.

    In a preview a value may be :data:`~infra.policy.reading.UNKNOWN`.
    """

    type: str
    name: str
    props: Mapping[str, Any]
    protect: bool = False
    provider: str = ""
    urn: str = ""


@dataclass(frozen=True)
class Stack:
    """All resources of a stack. ``max_nodes`` is what its configuration says of each GPU pool; empty in an in-cluster stack."""

    resources: Sequence[Resource]
    max_nodes: Mapping[str, int] = field(default_factory=dict)

    def all(self, kind: str) -> list[Resource]:
        """Its resources of a type."""
        return [each for each in self.resources if each.type == kind]


Check = Callable[[Resource], Iterator[str]]
StackCheck = Callable[[Resource, Stack], Iterator[str]]


@dataclass(frozen=True)
class Rule:
    """What each resource of certain types must be, whatever stands beside it.

    ``code`` is stable, ``title`` says what holds, ``mend`` the way out. A check yields what is wrong.
    """

    code: str
    title: str
    mend: str
    checks: Mapping[str, Check]

    def findings(self, resource: Resource) -> Iterator[str]:
        """What is wrong with a resource.

        Raises:
            NotKnownYet: the cloud has to make something first.
        """
        check = self.checks.get(resource.type) or self.checks.get(ANY)
        if check is not None:
            yield from check(resource)


@dataclass(frozen=True)
class StackRule:
    """What a resource of certain types must have beside it in its stack."""

    code: str
    title: str
    mend: str
    checks: Mapping[str, StackCheck]

    def findings(self, stack: Stack) -> Iterator[tuple[Resource, str]]:
        """What is wrong, with the resource that lacks it.

        Raises:
            NotKnownYet: the cloud has to make something first.
        """
        for resource in stack.resources:
            check = self.checks.get(resource.type)
            if check is not None:
                for what in check(resource, stack):
                    yield resource, what
