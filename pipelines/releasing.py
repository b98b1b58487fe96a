"""Starting a release: the console gets to know of it, then its pipeline is started with the release's own token."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import SecretStr, ValidationError

from lorafleet.contracts import paths
from lorafleet.contracts.fleet import FleetSpec
from lorafleet.contracts.release import SiteRelease
from lorafleet.contracts.release_api import Registered, Registration, Revocation
from lorafleet.contracts.shares import DEFAULT_SHARES
from pipelines.gate.client import Gate, Json
from pipelines.rest import Pace, Rest, Service, ServiceError, Unreachable, Unwell

TOKEN = "LORAFLEET_TOKEN"  # noqa: S105
RELEASE_TOKEN = "LORAFLEET_RELEASE_TOKEN"  # noqa: S105

# Echo, which starts pipelines, asks Front50 for them once in so many seconds.
ECHO_LAG = 30.0


@dataclass(frozen=True)
class Ticket:
    """A registered release: what its pipeline needs to speak for it."""

    release: str
    token: SecretStr


def registration(spec: FleetSpec, digest: str) -> Registration:
    """What the console is told of a release."""
    sites = tuple(
        SiteRelease(
            site=cluster.site,
            strategy=cluster.strategy,
            target_size=cluster.target_size,
            first_share=cluster.share or DEFAULT_SHARES[cluster.strategy],
        )
        for cluster in spec.release.clusters
    )
    return Registration(
        application=spec.application,
        image=spec.image.pinned(digest),
        digest=digest,
        sites=sites,
        conditions=spec.rollback.conditions,
        queries=dict(spec.monitor.queries),
        min_samples=spec.rollback.min_samples,
        watch=spec.release.watch,
        drain=spec.release.drain,
        quorum=spec.release.quorum,
    )


def console(url: str, token: SecretStr, pace: Pace | None = None) -> Rest:
    """The console, for somebody with this token."""
    service = Service(
        "the console",
        url,
        "console.url in fleet.yaml, --console or LORAFLEET_CONSOLE",
        f"set {TOKEN} or {TOKEN}_FILE to a releaser's token",
    )
    return Rest(service, {"Authorization": f"Bearer {token.get_secret_value()}"}, pace=pace)


def register(rest: Rest, what: Registration) -> Ticket:
    """Tell the console of a release.

    Raises:
        ServiceError: it cannot be told, or refuses.
    """
    answer = rest.send("POST", *_parts(paths.RELEASES), body=what.model_dump(mode="json"))
    try:
        registered = Registered.model_validate(answer)
    except ValidationError:
        raise ServiceError(
            f"the console at {rest.service.url} sent something else than a release", hint="is it of this version?"
        ) from None
    return Ticket(registered.release, registered.token)


def revoke(url: str, ticket: Ticket, reason: str, pace: Pace | None = None) -> None:
    """Take a release back; with its own token, as its pipeline would.

    Raises:
        ServiceError: the console cannot be told.
    """
    what = Revocation(reason=reason).model_dump(mode="json")
    console(url, ticket.token, pace).send("POST", *_parts(paths.revoke(ticket.release)), body=what)


def echo_lag(held: Json, now: float | None = None) -> float:
    """Seconds after which Echo is sure to know this version of the pipeline."""
    stamp = str(held.get("updateTs") or "")
    if not stamp.isdecimal():
        return 0.0
    age = (time.time() if now is None else now) - int(stamp) / 1000
    return min(ECHO_LAG, max(0.0, ECHO_LAG - age))


def start(gate: Gate, held: Json, parameters: Mapping[str, str], is_this: Callable[[Json], bool]) -> str:
    """Start a pipeline once; the answer is the execution's id.

    Where the answer is lost, the newest executions are looked through for the one whose parameters ``is_this`` knows.

    Raises:
        ServiceError: it was not started.
    """
    try:
        return gate.trigger(str(held["application"]), str(held["name"]), parameters)
    except (Unreachable, Unwell) as error:
        if isinstance(error, Unreachable) and not error.sent:
            raise
        for _ in range(3):
            gate.rest.sleep(gate.rest.pace.poll)
            for execution in gate.executions(str(held["id"])):
                if is_this((execution.get("trigger") or {}).get("parameters") or {}):
                    return str(execution["id"])
        raise


def _parts(path: str) -> list[str]:
    return path.strip("/").split("/")
