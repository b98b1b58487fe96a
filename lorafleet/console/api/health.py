"""Probes."""

from fastapi import APIRouter

from lorafleet.console.api.services import Here

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers, also while all its threads wait for a database that hangs."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(here: Here) -> dict[str, str]:
    """The database answers; 503 where it does not. A store that fails does not make the console useless, and is not asked."""
    here.ledger.ready()
    return {"status": "ok"}
