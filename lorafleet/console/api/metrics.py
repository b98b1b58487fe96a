"""``/metrics``, computed from the ledger at each scrape, so that every console tells the same."""

from collections.abc import Iterable, Iterator

from fastapi import APIRouter, Response

from lorafleet.console.api.services import Here
from lorafleet.console.ports import Ledger
from lorafleet.contracts import metrics
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
    workers: dict[tuple[str, ...], float] = {}
    for worker in ledger.dispatcher.workers():
        key = (worker.site, worker.digest)
        workers[key] = workers.get(key, 0) + 1
    yield from _metric(metrics.WORKERS, workers.items())
    yield from _metric(metrics.JOBS, (((state.value,), count) for state, count in ledger.upkeep.job_counts().items()))
    live = ledger.releases.live()
    yield from _metric(
        metrics.RELEASE_SHARE,
        (
            ((site.site, view.release.digest), view.release.share(site.site).ratio)
            for view, _ in live
            for site in view.release.sites
        ),
    )
    yield from _metric(
        metrics.ATTEMPTS_ENDED,
        (
            ((site, view.release.digest, outcome), count)
            for view, _ in live
            for site, counts in ledger.releases.counts(view.id).items()
            for outcome, count in counts.model_dump().items()
        ),
    )


def _metric(metric: Metric, values: Iterable[tuple[tuple[str, ...], float]]) -> Iterator[str]:
    yield f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {metric.kind.value}\n"
    for labels, value in values:
        pairs = ",".join(f'{name}="{_escaped(label)}"' for name, label in zip(metric.labels, labels, strict=True))
        yield f"{metric.name}{{{pairs}}} {value:g}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
