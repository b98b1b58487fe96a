"""What the fleet's page shows: sites, workers and releases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from lorafleet.console.domain.records import SiteRecord
from lorafleet.console.web import wording
from lorafleet.console.web.language import Language
from lorafleet.contracts.console_api import WorkerView
from lorafleet.contracts.image import digest12
from lorafleet.contracts.jobs import DesiredWorkers
from lorafleet.contracts.release import Decision, OutcomeCounts, ReleaseState
from lorafleet.contracts.release_api import ReleaseView

_TONES: Mapping[ReleaseState, str] = {
    ReleaseState.PREPARING: "quiet",
    ReleaseState.WATCHING: "live",
    ReleaseState.PROMOTING: "live",
    ReleaseState.STABLE: "good",
    ReleaseState.ROLLED_BACK: "bad",
    ReleaseState.RETIRED: "quiet",
}
_ON_THE_WAY = frozenset({ReleaseState.PREPARING, ReleaseState.WATCHING, ReleaseState.PROMOTING})


@dataclass(frozen=True)
class SiteLine:
    """A site. ``tone`` is a colour's name, ``state`` says the same in words."""

    name: str
    place: str
    store: str
    state: str
    tone: str
    workers: int
    workers_text: str
    desired: str
    paused: bool


@dataclass(frozen=True)
class WorkerLine:
    """A worker that was heard of lately."""

    worker: str
    site: str
    digest: str
    gpus: str
    heard: str
    job: str | None


@dataclass(frozen=True)
class ReleaseSite:
    """A release in one site."""

    site: str
    strategy: str
    share: str
    share_value: float
    samples: int
    samples_text: str
    failures: str
    error_rate: str


@dataclass(frozen=True)
class ReleaseLine:
    """A release."""

    id: str
    application: str
    digest: str
    image: str
    state: str
    tone: str
    verdict: str
    verdict_bad: bool
    reason: str
    breaches: tuple[str, ...]
    sites: tuple[ReleaseSite, ...]
    created: str
    created_at: datetime
    can_roll_back: bool


def site_lines(
    words: Language, sites: Sequence[SiteRecord], desired: Sequence[DesiredWorkers], now: datetime, unknown_after: timedelta
) -> tuple[SiteLine, ...]:
    """The sites by name."""
    wanted: dict[str, int] = {}
    for each in desired:
        wanted[each.site] = wanted.get(each.site, 0) + each.workers
    return tuple(_site(words, row, wanted.get(row.name, 0), now, unknown_after) for row in sorted(sites, key=lambda row: row.name))


def worker_lines(words: Language, workers: Sequence[WorkerView], now: datetime) -> tuple[WorkerLine, ...]:
    """The workers by site."""
    return tuple(
        WorkerLine(row.worker, row.site, digest12(row.digest), _gpus(words, row), words.ago(row.heard_at, now), row.job)
        for row in sorted(workers, key=lambda row: (row.site, row.worker))
    )


def release_lines(words: Language, releases: Sequence[ReleaseView], now: datetime) -> tuple[ReleaseLine, ...]:
    """The releases, as they come."""
    return tuple(_release(words, row, now) for row in releases)


def _site(words: Language, row: SiteRecord, desired: int, now: datetime, unknown_after: timedelta) -> SiteLine:
    if row.heard_at is None:
        state, tone = words.gettext("Nothing heard yet"), "quiet"
    elif now - row.heard_at > unknown_after:
        state, tone = words.gettext("Unknown: last heard %(ago)s", ago=words.ago(row.heard_at, now)), "warn"
    else:
        state, tone = words.gettext("Heard %(ago)s", ago=words.ago(row.heard_at, now)), "good"
    if row.paused:
        state, tone = words.gettext("Paused"), "quiet"
    return SiteLine(
        name=row.name,
        place=f"{row.cloud} · {row.region}" if row.cloud != row.region else row.cloud,
        store=row.store,
        state=state,
        tone=tone,
        workers=row.workers,
        workers_text=words.ngettext("%(count)s worker", "%(count)s workers", row.workers),
        desired=words.ngettext("%(count)s wanted", "%(count)s wanted", desired),
        paused=row.paused,
    )


def _gpus(words: Language, row: WorkerView) -> str:
    if not row.gpus:
        return words.gettext("no GPU")
    name, memory = row.gpus[0]["name"], row.gpus[0]["memory_mib"]
    return f"{len(row.gpus)} × {name}, {words.number(memory / 1024, 0)} GiB"


def _release(words: Language, row: ReleaseView, now: datetime) -> ReleaseLine:
    release = row.release
    counts = release.verdict.counts
    sites = []
    for site in release.sites:
        share = release.share(site.site)
        found = counts.get(site.site, OutcomeCounts())
        rate = found.error_rate
        sites.append(
            ReleaseSite(
                site=site.site,
                strategy=site.strategy.value,
                share=words.percent(share.ratio),
                share_value=share.ratio,
                samples=found.samples,
                samples_text=words.gettext(
                    "%(samples)s of %(needed)s",
                    samples=words.number(found.samples),
                    needed=words.number(release.verdict.min_samples),
                ),
                failures=words.number(found.release),
                error_rate="–" if rate is None else words.percent(rate),
            )
        )
    breaches = []
    for breach in release.verdict.breaches:
        what = (
            wording.fault(words, breach.fault) if breach.fault else f"{breach.condition} ({words.significant(breach.value or 0.0)})"
        )
        breaches.append(f"{breach.site}: {what}")
    return ReleaseLine(
        id=row.id,
        application=row.application,
        digest=release.digest12,
        image=str(row.image),
        state=wording.release_state(words, release.state),
        tone=_TONES[release.state],
        verdict=wording.decision(words, release.verdict.decision),
        verdict_bad=release.verdict.decision is Decision.BREACH,
        reason=row.reason,
        breaches=tuple(breaches),
        sites=tuple(sites),
        created=words.ago(row.created_at, now),
        created_at=row.created_at,
        can_roll_back=release.state in _ON_THE_WAY,
    )
