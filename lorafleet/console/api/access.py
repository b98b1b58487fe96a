"""Tokens of the team, and its audit log."""

from datetime import timedelta

from fastapi import APIRouter

from lorafleet.console.api.auth import Admin, Viewer, allowed
from lorafleet.console.api.parameters import After, Limit, TokenId
from lorafleet.console.api.services import Here
from lorafleet.console.api.views import audit_view, token_view
from lorafleet.console.domain.records import Role
from lorafleet.contracts import paths
from lorafleet.contracts.console_api import AuditVerified, AuditView, NewToken, PageOf, TokenMade, TokenView, Who

router = APIRouter(prefix=paths.API, tags=["access"])


@router.get("/me")
def who(principal: Viewer) -> Who:
    """Whom the console takes the caller for."""
    return Who(subject=principal.subject, team=principal.team, role=principal.role.value)


@router.get("/tokens")
def tokens(principal: Admin, here: Here) -> list[TokenView]:
    """The team's tokens, without their texts."""
    return [token_view(row) for row in here.ledger.access.tokens(principal.team)]


@router.post("/tokens", status_code=201)
def make_token(body: NewToken, principal: Viewer, here: Here) -> TokenMade:
    """Make a token with one's own role or a smaller one."""
    role = Role(body.role)
    allowed(principal, role)
    lifetime = None if body.days is None else timedelta(days=body.days)
    record, text = here.ledger.access.create_token(principal.team, body.name, role, principal.subject, lifetime)
    return TokenMade(**token_view(record).model_dump(), token=text)


@router.delete("/tokens/{token}", status_code=204)
def revoke_token(token: TokenId, principal: Admin, here: Here) -> None:
    """End a token at once."""
    here.ledger.access.revoke_token(principal.team, token, principal.subject)


@router.get("/audit")
def audit(principal: Admin, here: Here, after: After = None, limit: Limit = 100) -> PageOf[AuditView]:
    """Who did what in the team."""
    page = here.ledger.access.audit(principal.team, after, limit)
    return PageOf[AuditView](rows=tuple(audit_view(row) for row in page.rows), after=page.after)


@router.get("/audit/verify")
def verify_audit(principal: Admin, here: Here) -> AuditVerified:
    """Whether the log's chain holds; 409 names the first row that does not."""
    return AuditVerified(rows=here.ledger.access.verify_audit(principal.team))
