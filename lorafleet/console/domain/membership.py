"""What a person may do who comes from an identity provider: groups of a claim, to a team and a role in it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lorafleet.console.domain.records import Role


@dataclass(frozen=True)
class Membership:
    """A role in a team."""

    team: str
    role: Role


@dataclass(frozen=True)
class Rule:
    """Whoever is in ``group`` has this membership."""

    group: str
    membership: Membership


def membership(claims: Mapping[str, Any], claim: str, rules: Sequence[Rule]) -> Membership | None:
    """The membership of the first rule whose group the claim names, or None: then the person is nobody here."""
    found = groups(claims, claim)
    return next((rule.membership for rule in rules if rule.group in found), None)


def groups(claims: Mapping[str, Any], claim: str) -> frozenset[str]:
    """The groups that a claim names, a list or one text. A dotted claim leads into objects, as Keycloak's ``realm_access.roles``."""
    value: Any = claims.get(claim)
    if value is None:
        value = claims
        for part in claim.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    if isinstance(value, str):
        return frozenset({value})
    return frozenset(item for item in value if isinstance(item, str)) if isinstance(value, list) else frozenset()
