"""Secrets of the team: names and dates are shown, values go in and never come out."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Form, Response
from pydantic import AfterValidator, SecretStr

from lorafleet.console.api import team_secrets as api
from lorafleet.console.api.auth import Admin, Trainer
from lorafleet.console.api.services import Here
from lorafleet.console.domain.records import Role
from lorafleet.console.web.preferences import done
from lorafleet.console.web.rendering import Looks, may, page, who
from lorafleet.contracts.console_api import NewSecret
from lorafleet.contracts.team_secrets import LONGEST, MAX_SECRETS, NAME_PATTERN, SHORTEST, SecretName, checked_value

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class SecretLine:
    """A secret without its value."""

    name: str
    changed: str
    changed_at: datetime
    changed_by: str
    readable: bool


@router.get("/secrets")
def secrets(looks: Looks, principal: Trainer, here: Here) -> Response:
    """The team's secrets."""
    words, now = looks.language, here.ledger.now()
    lines = tuple(
        SecretLine(row.name, words.ago(row.updated_at, now), row.updated_at, who(row.updated_by), row.readable)
        for row in api.secrets(principal, here)
    )
    values = {
        "secrets": lines,
        "may_change": may(principal, Role.ADMIN),
        "pattern": NAME_PATTERN[1:-1],
        "shortest": SHORTEST,
        "longest": LONGEST,
        "most": MAX_SECRETS,
    }
    return page("secrets.html", looks, principal, values)


@router.post("/secrets")
def put(
    principal: Admin,
    here: Here,
    name: Annotated[SecretName, Form()],
    value: Annotated[SecretStr, Form(), AfterValidator(checked_value)],
) -> Response:
    """Keep one; it takes the old one's place."""
    api.put_secret(name, NewSecret(value=value), principal, here)
    return done("/secrets", "secret_set")


@router.post("/secrets/{secret}/remove")
def remove(secret: api.KeptName, principal: Admin, here: Here) -> Response:
    """Forget one."""
    api.remove_secret(secret, principal, here)
    return done("/secrets", "secret_removed")
