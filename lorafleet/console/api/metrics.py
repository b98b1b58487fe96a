"""``/metrics``, computed from the ledger at each scrape, so that every console tells the same."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from fastapi import APIRouter, Response

from lorafleet.console.api.services import Here
from lorafleet.console.domain.records import AttemptCount
from lorafleet.console.ports import Ledger
from lorafleet.contracts import metrics
from lorafleet.contracts.job_states import AttemptState
from lorafleet.contracts.metrics import Metric

router = APIRouter(tags=["health"])

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def exposition(here: Here) -> Response:
    """What Prometheus scrapes: numbers by site, release and state, never a team's names."""
    return Response("".join(_lines(here.ledger)), media_type=CONTENT_TYPE)


def _lines(ledger: Ledger) -> Iterator[str]:
    yield from _metric(
        metrics.DESIRED_WORKERS, (((wanted.site, wanted.release), wanted.workers) for wanted in ledger.dispatcher.desired_workers())
    )
    workers = Counter((worker.site, worker.digest) for worker in ledger.dispatcher.workers())
    yield from _metric(metrics.WORKERS, workers.items())
    yield from _metric(metrics.JOBS, (((state.value,), count) for state, count in ledger.upkeep.job_counts().items()))
    yield from _attempts(ledger.upkeep.attempt_counts())
    yield from _metric(
        metrics.RELEASE_SHARE,
        (
            ((site.site, view.release.digest), view.release.share(site.site).ratio)
            for view, _ in ledger.releases.live()
            for site in view.release.sites
        ),
    )
    breaches = Counter(
        (view.release.digest, str(breach.condition or breach.fault))
        for view in ledger.releases.page().rows
        for breach in view.release.verdict.breaches
    )
    yield from _metric(metrics.GUARD_BREACHES, breaches.items())


def _attempts(counts: Sequence[AttemptCount]) -> Iterator[str]:
    leases, expired, published = Counter[tuple[str, ...]](), Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    ended = Counter[tuple[str, ...]]()
    for count in counts:
        release = (count.site, count.digest)
        leases[release] += count.attempts
        published[release] += count.checkpoints
        if count.state is AttemptState.LOST:
            expired[release] += count.attempts
        if count.outcome is not None:
            ended[(*release, count.outcome.value)] += count.attempts
    yield from _metric(metrics.LEASES, leases.items())
    yield from _metric(metrics.LEASES_EXPIRED, expired.items())
    yield from _metric(metrics.CHECKPOINTS, published.items())
    yield from _metric(metrics.ATTEMPTS_ENDED, ended.items())


def _metric(metric: Metric, values: Iterable[tuple[tuple[str, ...], float]]) -> Iterator[str]:
    yield f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {metric.kind.value}\n"
    for labels, value in values:
        pairs = ",".join(f'{name}="{_escaped(label)}"' for name, label in zip(metric.labels, labels, strict=True))
        yield f"{metric.name}{{{pairs}}} {value:g}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
