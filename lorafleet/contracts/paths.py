"""The console's addresses that other parts call, below its own URL: workers, and the pipelines that release them."""

API = "/api/v1"

ENROL = f"{API}/worker/enrol"
LEASE = f"{API}/worker/lease"
HEARTBEAT = f"{API}/worker/heartbeat"
PROGRESS = f"{API}/worker/progress"
SAMPLE = f"{API}/worker/sample"
LOG = f"{API}/worker/log"
CHECKPOINT = f"{API}/worker/checkpoint"
GRANTS = f"{API}/worker/grants"
DATASET = f"{API}/worker/dataset"
SECRETS = f"{API}/worker/secrets"
OUTCOME = f"{API}/worker/outcome"
"""Each takes the message of :mod:`lorafleet.contracts.jobs` by POST. A lease that finds no job in time answers 204.
A stale fence answers 409, a token that is not good (any more) 401."""

RELEASES = f"{API}/releases"


def release(release_id: str) -> str:
    """GET: the release, as :class:`lorafleet.contracts.release_api.ReleaseView`."""
    return f"{RELEASES}/{release_id}"


def preflight(release_id: str) -> str:
    """POST starts, GET polls the checks that hold for all sites (signature, digests, min. driver of the image)."""
    return f"{release(release_id)}/preflight"


def site_preflight(release_id: str, site: str) -> str:
    """POST starts, GET polls one site's checks: reachable, same digest in its registry, driver, room."""
    return f"{release(release_id)}/sites/{site}/preflight"


def share(release_id: str, site: str) -> str:
    """PUT :class:`~lorafleet.contracts.release_api.ShareStep`."""
    return f"{release(release_id)}/sites/{site}/share"


def watches(release_id: str, site: str) -> str:
    """POST :class:`~lorafleet.contracts.release_api.Watch`; the answer's ``statusUrl`` is polled."""
    return f"{release(release_id)}/sites/{site}/watches"


def watch(release_id: str, site: str, watch_id: str) -> str:
    """GET: how a watch stands."""
    return f"{watches(release_id, site)}/{watch_id}"


def fault(release_id: str, site: str) -> str:
    """POST :class:`~lorafleet.contracts.release_api.FaultReport`: a breach without statistics."""
    return f"{release(release_id)}/sites/{site}/fault"


def promote(release_id: str) -> str:
    """POST: all requests go to the release, which can still be watched and taken back. 409 where it may not be promoted."""
    return f"{release(release_id)}/promote"


def settle(release_id: str) -> str:
    """POST: the promotion holds, nothing takes it back any more; GET polls while leases of the old release drain to a deadline."""
    return f"{release(release_id)}/settle"


def revoke(release_id: str) -> str:
    """POST :class:`~lorafleet.contracts.release_api.Revocation`: share 0 everywhere, leases taken back; idempotent."""
    return f"{release(release_id)}/revoke"


def verdict(release_id: str) -> str:
    """GET :class:`lorafleet.contracts.release.Verdict`."""
    return f"{release(release_id)}/verdict"


def desired_workers(release_id: str) -> str:
    """GET: :class:`lorafleet.contracts.jobs.DesiredWorkers` of every site."""
    return f"{release(release_id)}/desired-workers"
