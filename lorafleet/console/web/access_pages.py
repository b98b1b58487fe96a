"""Tokens and the audit log, for administrators of a team."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Form, Response

from lorafleet.console.api import access as api
from lorafleet.console.api.auth import Admin
from lorafleet.console.api.parameters import After, TokenId
from lorafleet.console.api.services import Here, Services
from lorafleet.console.api.sessions import SESSION
from lorafleet.console.domain.records import Principal, Role, TokenRecord
from lorafleet.console.domain.refusals import Conflict
from lorafleet.console.web.language import Language
from lorafleet.console.web.preferences import done
from lorafleet.console.web.rendering import Look, Looks, may, page, who
from lorafleet.contracts.console_api import NewToken

router = APIRouter(include_in_schema=False)

_PAGE = 50


@dataclass(frozen=True)
class TokenLine:
    """A token without its text."""

    id: str
    name: str
    role: str
    created: str
    created_at: datetime
    expires: str
    used: str
    state: str
    tone: str
    live: bool


@dataclass(frozen=True)
class AuditLine:
    """Who did what."""

    number: int
    at: str
    moment: datetime
    actor: str
    action: str
    target: str
    values: str


@router.get("/tokens")
def tokens(looks: Looks, principal: Admin, here: Here) -> Response:
    """The team's tokens."""
    return _tokens(looks, principal, here, None)


@router.post("/tokens")
def make(
    looks: Looks,
    principal: Admin,
    here: Here,
    name: Annotated[str, Form(min_length=1, max_length=200)],
    role: Annotated[Role, Form()],
    days: Annotated[float, Form(gt=0, le=3650)] = 90,
) -> Response:
    """Make one, and show its text this once."""
    made = api.make_token(NewToken(name=name, role=role.value, days=days), principal, here)
    return _tokens(looks, principal, here, made.token.get_secret_value())


@router.post("/tokens/{token}/revoke")
def revoke(token: TokenId, principal: Admin, here: Here) -> Response:
    """End one."""
    api.revoke_token(token, principal, here)
    return done("/tokens", "revoked")


@router.get("/audit")
def audit(looks: Looks, principal: Admin, here: Here, after: After = None, verify: bool = False) -> Response:
    """Who did what in the team, newest first; with ``verify``, whether the log's chain holds."""
    words = looks.language
    found = here.ledger.access.audit(principal.team, after, _PAGE)
    holds, broken = _verified(words, principal, here) if verify else ("", "")
    lines = tuple(
        AuditLine(row.number, words.moment(row.at), row.at, who(row.actor), row.action, row.target, _values(row.values))
        for row in found.rows
    )
    return page("audit.html", looks, principal, {"rows": lines, "after": found.after, "holds": holds, "broken": broken})


def _verified(words: Language, principal: Principal, here: Services) -> tuple[str, str]:
    try:
        rows = here.ledger.access.verify_audit(principal.team)
    except Conflict as error:
        return "", error.problems[0].what
    return words.ngettext("The chain of %(count)s entry holds.", "The chain of %(count)s entries holds.", rows), ""


def _tokens(looks: Look, principal: Principal, here: Services, made: str | None) -> Response:
    words, now = looks.language, here.ledger.now()
    rows = [row for row in here.ledger.access.tokens(principal.team) if not row.name.startswith(SESSION)]
    rows.sort(key=lambda row: (_ended(row, now), -row.created_at.timestamp()))
    values = {
        "tokens": tuple(_line(words, row, now) for row in rows),
        "made": made,
        "roles": tuple((role.value, label) for role, label in _roles(words) if may(principal, role)),
    }
    return page("tokens.html", looks, principal, values)


def _line(words: Language, row: TokenRecord, now: datetime) -> TokenLine:
    if row.revoked_at is not None:
        state, tone = words.gettext("Revoked"), "quiet"
    elif _ended(row, now):
        state, tone = words.gettext("Expired"), "quiet"
    else:
        state, tone = words.gettext("Good"), "good"
    return TokenLine(
        id=row.id,
        name=row.name,
        role=dict(_roles(words))[row.role],
        created=words.ago(row.created_at, now),
        created_at=row.created_at,
        expires=words.gettext("never") if row.expires_at is None else words.moment(row.expires_at),
        used=words.gettext("never") if row.last_used_at is None else words.ago(row.last_used_at, now),
        state=state,
        tone=tone,
        live=not _ended(row, now),
    )


def _ended(row: TokenRecord, now: datetime) -> bool:
    return row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= now)


def _roles(words: Language) -> tuple[tuple[Role, str], ...]:
    return (
        (Role.VIEWER, words.gettext("Viewer: looks")),
        (Role.TRAINER, words.gettext("Trainer: uploads and trains")),
        (Role.RELEASER, words.gettext("Releaser: releases the trainer")),
        (Role.ADMIN, words.gettext("Administrator: everything, tokens too")),
    )


def _values(values: object) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(", ", ": ")) if values else ""
