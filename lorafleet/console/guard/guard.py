"""The loops that judge every live candidate: what the console counts each second and after each end of an attempt, named queries
beside it, so that a slow Prometheus never holds up the counts. Several consoles may do it at once: taking back twice is harmless."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from math import isnan
from typing import Protocol

from lorafleet.console.domain.judgement import WINDOW, breaches, in_words, measure, named
from lorafleet.console.domain.records import EventKind
from lorafleet.console.guard.prometheus import Sample
from lorafleet.console.ports import Ledger
from lorafleet.contracts.problems import LorafleetError, UnavailableError
from lorafleet.contracts.release import Breach, OutcomeCounts
from lorafleet.contracts.release_api import Registration, ReleaseView

INTERVAL = 1.0
"""Seconds between two looks."""

_TELLING = (EventKind.ENDED, EventKind.LOST, EventKind.STARTED)
_log = logging.getLogger(__name__)


class Queries(Protocol):
    """Where named queries are answered."""

    def query(self, promql: str) -> Sequence[Sample]:
        """One value for each series. Raises UnavailableError."""
        ...


class Guard:
    """Two threads between :meth:`start` and :meth:`stop`."""

    def __init__(self, ledger: Ledger, queries: Queries | None, interval: float = INTERVAL) -> None:
        self._ledger = ledger
        self._queries = queries
        self._interval = interval
        self._over = threading.Event()
        self._news = threading.Event()
        self._threads: list[threading.Thread] = []
        self._silence: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Begin to look."""
        self._silence = self._ledger.listen(self._hear)
        loops = {"guard-counts": (self.judge_counts, self._news), "guard-queries": (self.judge_queries, self._over)}
        for name, (judge, wake) in loops.items():
            thread = threading.Thread(target=self._loop, args=(judge, wake), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End the loops; a query under way is waited for."""
        self._silence()
        self._over.set()
        self._news.set()
        for thread in self._threads:
            thread.join()

    def judge_counts(self) -> None:
        """Judge errorRate and latency of each candidate in each of its sites."""
        for view, registration in self._ledger.releases.live():
            now = self._ledger.now()
            counts = self._ledger.releases.counts(view.id)
            found: list[Breach] = []
            for site in registration.sites:
                latencies = self._ledger.releases.latencies(view.id, site.site, WINDOW)
                values = measure(counts.get(site.site, OutcomeCounts()), latencies, registration.min_samples)
                found += breaches(registration.conditions, site.site, values, now)
            self._act(view, found)
            if not found and not named(registration.conditions):
                self._ledger.releases.evaluated(view.id, ())

    def judge_queries(self) -> None:
        """Judge the named queries of each candidate."""
        for view, registration in self._ledger.releases.live():
            conditions = named(registration.conditions)
            if not conditions:
                continue
            found: list[Breach] = []
            unanswered = []
            now = self._ledger.now()
            for name in sorted({condition.metric for condition in conditions}):
                answers = self._answers(name, view, registration)
                if not answers:
                    unanswered.append(name)
                for site, value in answers:
                    found += breaches(conditions, site, {name: value}, now)
            self._act(view, found)
            if not found:
                self._ledger.releases.evaluated(view.id, unanswered)

    def _answers(self, name: str, view: ReleaseView, registration: Registration) -> list[tuple[str, float]]:
        promql = registration.queries.get(name)
        if self._queries is None or promql is None:
            return []
        try:
            samples = self._queries.query(promql)
        except UnavailableError as error:
            _log.warning("release %s, query %s: %s", view.id, name, error)
            return []
        sites = [site.site for site in registration.sites]
        return [
            # A series without a site speaks of all of them; the first stands for them.
            (sample.labels.get("site", sites[0]), sample.value)
            for sample in samples
            if not isnan(sample.value) and _speaks_of(sample.labels, view.release.digest, sites)
        ]

    def _act(self, view: ReleaseView, found: Sequence[Breach]) -> None:
        if found:
            self._ledger.releases.breach(view.id, found, in_words(found))
            _log.warning("release %s is taken back: %s", view.id, in_words(found))

    def _hear(self, happened: Sequence[tuple[str, EventKind]]) -> None:
        if any(kind in _TELLING for _, kind in happened):
            self._news.set()

    def _loop(self, judge: Callable[[], None], wake: threading.Event) -> None:
        while not self._over.is_set():
            if wake is self._news:
                self._news.clear()
            try:
                judge()
            except LorafleetError as error:
                # The database is gone for a while: the next look comes anyway.
                _log.warning("the guard could not look: %s", error)
            except Exception:  # noqa: BLE001 - without this thread nobody would take a bad release back
                _log.exception("the guard could not look: a defect; it goes on")
            wake.wait(self._interval)


def _speaks_of(labels: Mapping[str, str], digest: str, sites: Sequence[str]) -> bool:
    """Whether a series is of this release. ``release`` and ``site`` are the labels of :mod:`lorafleet.contracts.metrics`."""
    return labels.get("release", digest) == digest and labels.get("site", sites[0]) in sites
