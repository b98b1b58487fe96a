"""``/metrics``, computed from the ledger at each scrape: every console tells the same, also after it was started anew.

Over several consoles one takes the maximum (``max without (instance) (…)``); a sum would count everything once for each.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from fastapi import APIRouter, Response

from lorafleet.console.api.services import Here
from lorafleet.console.domain.records import Series
from lorafleet.console.ports import Ledger
from lorafleet.contracts import metrics
from lorafleet.contracts.metrics import BUCKET, COUNT, SUM, Kind, Metric

router = APIRouter(tags=["health"])

_COUNTED = (
    metrics.LEASES,
    metrics.HEARTBEATS,
    metrics.ATTEMPTS_ENDED,
    metrics.LEASES_EXPIRED,
    metrics.MESSAGES_FENCED,
    metrics.CHECKPOINTS,
    metrics.FIRST_HEARTBEAT,
    metrics.WAITING,
)
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
    yield from _counted(ledger.upkeep.counts())
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


def _counted(counts: Mapping[Series, float]) -> Iterator[str]:
    by_name: dict[str, list[tuple[tuple[str, ...], float]]] = {}
    for (name, labels), value in sorted(counts.items(), key=lambda item: item[0][1][:2]):
        by_name.setdefault(name, []).append((labels, value))
    for metric in _COUNTED:
        if metric.kind is Kind.HISTOGRAM:
            yield _head(metric)
            for suffix, labels in ((BUCKET, (*metric.labels, "le")), (SUM, metric.labels), (COUNT, metric.labels)):
                yield from _samples(metric.name + suffix, labels, by_name.get(metric.name + suffix, ()))
        else:
            yield from _metric(metric, by_name.get(metric.name, ()))


def _metric(metric: Metric, values: Iterable[tuple[tuple[str, ...], float]]) -> Iterator[str]:
    yield _head(metric)
    yield from _samples(metric.name, metric.labels, values)


def _head(metric: Metric) -> str:
    return f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {metric.kind.value}\n"


def _samples(name: str, label_names: Sequence[str], values: Iterable[tuple[tuple[str, ...], float]]) -> Iterator[str]:
    for labels, value in values:
        pairs = ",".join(f'{label}="{_escaped(text)}"' for label, text in zip(label_names, labels, strict=True))
        yield f"{name}{{{pairs}}} {value:.15g}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
