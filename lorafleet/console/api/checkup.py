"""The console examines its own set-up."""

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter

from lorafleet.console.api.auth import FleetAdmin
from lorafleet.console.api.services import Here, Services
from lorafleet.console.domain.checkup import SetupFacts, Signing, SiteFacts, judge
from lorafleet.console.guard.prometheus import Prometheus
from lorafleet.console.settings import LOOPBACK, Auth, Settings
from lorafleet.contracts import paths
from lorafleet.contracts.checkup import Checkup
from lorafleet.contracts.problems import LorafleetError

router = APIRouter(prefix=paths.API, tags=["health"])


@router.get("/checkup")
def checkup(_: FleetAdmin, here: Here) -> Checkup:
    """Database, clock, access, secrets, stores, sites, signatures and Prometheus: what is wrong and how to mend it.

    ``lorafleet doctor --console`` shows it.
    """
    return judge(_facts(here))


def _facts(here: Services) -> SetupFacts:
    settings = here.settings
    answering = set(here.stores.reachable())
    try:
        now = here.ledger.now()
        database, skew = "", datetime.now(UTC) - now
        sites = [SiteFacts(row.name, row.store, row.workers) for row in here.ledger.dispatcher.sites()]
        unreadable = here.secrets.count_unreadable()
    except LorafleetError as error:
        database, skew, sites, unreadable = str(error), timedelta(), [], 0
    return SetupFacts(
        postgres=settings.database_url.startswith("postgresql"),
        replicas=settings.replicas,
        loopback=settings.host in LOOPBACK and not settings.https,
        https=settings.https,
        authenticated=settings.auth is not Auth.NONE,
        database=database,
        skew=skew,
        stores={name: "" if name in answering else "does not answer" for name in here.stores.by_name},
        sites=sites,
        prometheus=_prometheus(settings.prometheus) if settings.prometheus else None,
        provider=here.oidc.trouble() if here.oidc else None,
        unreadable_secrets=unreadable,
        signing=_signing(settings),
    )


def _signing(settings: Settings) -> Signing | None:
    if not settings.sites:
        return None
    if settings.signing_keys:
        return Signing.REQUIRED
    return Signing.NOT_CHECKED if settings.allow_unsigned else Signing.NO_KEY


def _prometheus(address: str) -> str:
    prometheus = Prometheus(address)
    try:
        prometheus.query("1")
    except LorafleetError as error:
        return str(error)
    finally:
        prometheus.close()
    return ""
