"""Secrets of the team. Their values go in, and come out to attempts only: see :mod:`lorafleet.console.api.worker`."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import AfterValidator

from lorafleet.console.api.auth import Admin, Trainer
from lorafleet.console.api.services import Here, Services
from lorafleet.console.domain.records import SecretRecord
from lorafleet.contracts import paths
from lorafleet.contracts.console_api import NewSecret, SecretView
from lorafleet.contracts.team_secrets import NAME_PATTERN, checked_name

router = APIRouter(prefix=paths.API, tags=["secrets"])

KeptName = Annotated[str, Path(alias="secret", pattern=NAME_PATTERN)]
NewName = Annotated[KeptName, AfterValidator(checked_name)]


@router.get("/secrets")
def secrets(principal: Trainer, here: Here) -> list[SecretView]:
    """The team's secrets, without their values."""
    return [_view(here, record) for record in here.secrets.records(principal.team)]


@router.put("/secrets/{secret}")
def put_secret(secret: NewName, body: NewSecret, principal: Admin, here: Here) -> SecretView:
    """Keep a secret for the team's training processes, which get it as an environment variable; it takes the old one's place."""
    return _view(here, here.secrets.put(principal.team, secret, body.value, principal.subject))


@router.delete("/secrets/{secret}", status_code=204)
def remove_secret(secret: KeptName, principal: Admin, here: Here) -> None:
    """Forget a secret. Attempts that have it keep it to their end."""
    here.secrets.remove(principal.team, secret, principal.subject)


def _view(here: Services, record: SecretRecord) -> SecretView:
    readable = here.secrets.readable(record)
    return SecretView(name=record.name, updated_at=record.updated_at, updated_by=record.updated_by, readable=readable)
