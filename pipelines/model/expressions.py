"""The few SpEL expressions that stages are switched by. They speak of stages as objects, so that no name can be misspelt.

A ``stageEnabled`` with a wrong name skips its stage without a word (``OptionalStageSupport`` of Orca), hence no free text.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import NewType, Protocol

Expression = NewType("Expression", str)
"""SpEL without ``${}``."""

FALSE = Expression("false")
TRUE = Expression("true")


class Status(StrEnum):
    """How a stage can stand when a later one looks at it. A TERMINAL one is never seen: it has ended the run."""

    NOT_STARTED = "NOT_STARTED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED_CONTINUE = "FAILED_CONTINUE"
    SKIPPED = "SKIPPED"


class Named(Protocol):
    """A stage, as far as an expression needs it."""

    @property
    def name(self) -> str: ...  # noqa: D102


def is_(stage: Named, status: Status) -> Expression:
    """The stage has this status."""
    return Expression(f"#stage('{stage.name}')['status'].toString() == '{status}'")


def is_not(stage: Named, status: Status) -> Expression:
    """The stage has another status."""
    return Expression(f"#stage('{stage.name}')['status'].toString() != '{status}'")


def all_of(expressions: Iterable[Expression]) -> Expression:
    """Each holds; true where there are none."""
    return _joined(" && ", expressions, TRUE)


def any_of(expressions: Iterable[Expression]) -> Expression:
    """One holds at least; false where there are none."""
    return _joined(" || ", expressions, FALSE)


def not_(expression: Expression) -> Expression:
    """It does not hold."""
    return Expression(f"!({expression})")


def at_least(number: int, expressions: Iterable[Expression]) -> Expression:
    """So many hold."""
    return Expression(" + ".join(f"({expression} ? 1 : 0)" for expression in expressions) + f" >= {number}")


def _joined(operator: str, expressions: Iterable[Expression], empty: Expression) -> Expression:
    parts = list(dict.fromkeys(expressions))
    if len(parts) < 2:
        return parts[0] if parts else empty
    return Expression(operator.join(f"({part})" for part in parts))
