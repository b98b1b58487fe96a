"""Releases, their shares, watches and verdicts."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlalchemy import func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from lorafleet.console.domain import judgement, watching
from lorafleet.console.domain.naming import new_id
from lorafleet.console.domain.records import Page, Submission
from lorafleet.console.domain.refusals import Conflict, NotFound, Unprocessable
from lorafleet.console.store import chain, datasets, fleet, pages, probes, promotion, rollback
from lorafleet.console.store.database import Database, Row, Transaction
from lorafleet.console.store.schema import IS_LIVE, attempts, release_sites, releases, stable, watches
from lorafleet.contracts.release import Breach, OutcomeCounts, Release, ReleaseState, SiteRelease, Track, Verdict
from lorafleet.contracts.release_api import Registration, ReleaseView, StageAnswer, StageStatus, Watch

ANSWERED_LATELY = timedelta(seconds=30)
"""How old the guard's last answer to the named queries may be for a watch to pass."""


class SqlReleases:
    """:class:`lorafleet.console.ports.Releases`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def set_stable(self, application: str, digest: str, sites: Sequence[str]) -> None:
        """Name the stable release of these sites where they have none; an image that is there is never changed so."""
        with self._database.write() as transaction:
            dialect = postgresql if transaction.postgres else sqlite
            for site in sites:
                statement = dialect.insert(stable).values(application=application, site=site, digest=digest)
                transaction.execute(statement.on_conflict_do_nothing())

    def set_probe_template(self, team: str, submission: Submission | None) -> None:
        """What a probe job trains, as a job of ``team``: a data set version of it and a configuration that ends in seconds.

        Raises:
            NotFound: the data set version.
        """
        with self._database.write() as transaction:
            if submission is not None:
                datasets.find_version(transaction, team, submission.dataset, submission.version)
            probes.set_template(transaction, team, submission)

    def register(self, registration: Registration, actor: str) -> ReleaseView:
        """Begin a release. Raises Conflict while another is under way, or where the image is the stable one already."""
        with self._database.write() as transaction:
            _one_at_a_time(transaction, registration.application)
            for site in registration.sites:
                here = (stable.c.application == registration.application) & (stable.c.site == site.site)
                if transaction.one(select(stable.c.site).where(here, stable.c.digest == registration.digest)) is not None:
                    raise Conflict(f"this image is the stable release of {site.site} already", hint="leave the site out")
            values = {
                "id": new_id(registration.application, "release"), "application": registration.application,
                "digest": registration.digest, "state": ReleaseState.PREPARING,
                "registration": registration.model_dump(mode="json"), "created_at": transaction.now, "updated_at": transaction.now,
            }  # fmt: skip
            row = transaction.row(insert(releases).values(values).returning(*releases.c))
            transaction.execute(
                insert(release_sites), [{"release_id": row["id"], "site": site.site, "step": 0} for site in registration.sites]
            )
            chain.append(transaction, chain.FLEET, actor, "release.register", row["id"], {"digest": registration.digest})
            return _view(transaction, row)

    def get(self, release: str) -> ReleaseView:
        """One release. Raises NotFound."""
        with self._database.read() as transaction:
            return _view(transaction, _find(transaction, release))

    def page(self, after: str | None = None, limit: int = 50) -> Page[ReleaseView]:
        """Newest first."""
        limit, before = pages.size(limit), pages.position(after)
        statement = select(releases).order_by(releases.c.number.desc()).limit(limit + 1)
        with self._database.read() as transaction:
            found = transaction.all(statement if before is None else statement.where(releases.c.number < before))
            return pages.page(found, limit, lambda row: _view(transaction, row))

    def set_share(self, release: str, site: str, step: int) -> ReleaseView:
        """Give a release a step of a site's schedule; 0 takes its requests away there.

        Raises:
            NotFound: the release, or the site in it.
            Unprocessable: the schedule has no such step.
            Conflict: the release is being promoted or is over.
        """
        with self._database.write() as transaction:
            row = rollback.lock(transaction, release)
            target = _site(row, site)
            if row["state"] not in (ReleaseState.PREPARING, ReleaseState.WATCHING):
                raise Conflict(f"release {release} is {row['state']}; its share does not change any more")
            if not 0 <= step <= len(target.schedule):
                raise Unprocessable(f"the schedule of {site} has steps 0 to {len(target.schedule)}, not {step}")
            here = (release_sites.c.release_id == release) & (release_sites.c.site == site)
            transaction.execute(update(release_sites).where(here).values(step=step))
            values = {"state": ReleaseState.WATCHING if step else row["state"], "updated_at": transaction.now}
            transaction.execute(update(releases).where(releases.c.id == release).values(values))
            chain.append(transaction, chain.FLEET, "pipeline", "release.share", release, {"site": site, "step": step})
            return _view(transaction, {**row, **values})

    def start_watch(self, release: str, site: str, watch: Watch) -> str:
        """Watch a release in a site from now on; the id of the watch. The same again gives the one that runs.

        Raises:
            NotFound: the release, or the site in it.
            Conflict: it has no share there, or is over.
        """
        with self._database.write() as transaction:
            row = rollback.lock(transaction, release)
            _site(row, site)
            step = fleet.steps(transaction, release)[site]["step"]
            if not _watchable(row) or step == 0:
                raise Conflict(
                    f"release {release} gets no requests in {site}: there is nothing to watch", hint="give it a share first"
                )
            here = (watches.c.release_id == release) & (watches.c.site == site) & (watches.c.status == StageStatus.RUNNING)
            there = transaction.one(select(watches).where(here, watches.c.step == step))
            if there is not None and (there["seconds"], there["deadline"]) == (watch.seconds, watch.deadline):
                return str(there["id"])
            transaction.execute(update(watches).where(here).values(status=StageStatus.FAIL, detail="another watch took its place"))
            watch_id = new_id(site, "watch")
            values = {
                "id": watch_id, "release_id": release, "site": site, "step": step, "seconds": watch.seconds,
                "deadline": max(watch.seconds, watch.deadline), "started_at": transaction.now, "status": StageStatus.RUNNING,
                "detail": "",
            }  # fmt: skip
            transaction.execute(insert(watches).values(values))
            return watch_id

    def watch(self, release: str, site: str, watch_id: str) -> StageAnswer:
        """How a watch stands. What the console measures itself is judged here once more, so that no breach is passed over."""
        with self._database.write() as transaction:
            row = rollback.lock(transaction, release)
            whose = (watches.c.id == watch_id) & (watches.c.release_id == release) & (watches.c.site == site)
            there = transaction.one(select(watches).where(whose))
            if there is None:
                raise NotFound(f"release {release} has no watch {watch_id} in {site}")
            if there["status"] != StageStatus.RUNNING:
                return StageAnswer(status=StageStatus(there["status"]), detail=there["detail"])
            registration = Registration.model_validate(row["registration"])
            counts = _counts(transaction, release).get(site, OutcomeCounts())
            values = judgement.measure(counts, _latencies(transaction, release, site, judgement.WINDOW), registration.min_samples)
            if found := judgement.breaches(registration.conditions, site, values, transaction.now):
                rollback.take_back(transaction, row, judgement.in_words(found), "guard", found)
                return StageAnswer(status=StageStatus.FAIL, detail=judgement.in_words(found))
            answer = watching.answer(
                watching.WatchFacts(
                    site=site,
                    elapsed=(transaction.now - there["started_at"]).total_seconds(),
                    seconds=there["seconds"],
                    deadline=there["deadline"],
                    counts=counts,
                    min_samples=registration.min_samples,
                    unanswered=_unanswered(transaction, row, registration),
                )
            )
            if answer.status is not StageStatus.RUNNING:
                decided = {"status": answer.status, "detail": answer.detail}
                transaction.execute(update(watches).where(watches.c.id == watch_id).values(decided))
            return answer

    def breach(self, release: str, breaches: Sequence[Breach], reason: str) -> ReleaseView:
        """Take a release back for what was broken; again is harmless. Raises NotFound, and Conflict for a stable release."""
        return self._take_back(release, reason or judgement.in_words(breaches), "guard", breaches)

    def revoke(self, release: str, reason: str, actor: str) -> ReleaseView:
        """Take a release back because somebody wants it; again is harmless. Raises as :meth:`breach`."""
        return self._take_back(release, reason, actor, ())

    def _take_back(self, release: str, reason: str, actor: str, breaches: Sequence[Breach]) -> ReleaseView:
        with self._database.write() as transaction:
            row = rollback.lock(transaction, release)
            if row["state"] in (ReleaseState.STABLE, ReleaseState.RETIRED) or row["settled_at"] is not None:
                raise Conflict(
                    f"release {release} is stable and is never taken back",
                    hint="release the older image as a release of its own",
                )
            rollback.take_back(transaction, row, reason, actor, breaches)
            return _view(transaction, _find(transaction, release))

    def promote(self, release: str, actor: str) -> StageAnswer:
        """Give a release all requests of the sites where it has passed; again is harmless. Raises NotFound."""
        with self._database.write() as transaction:
            row = rollback.lock(transaction, release)
            state = ReleaseState(row["state"])
            if state in (ReleaseState.ROLLED_BACK, ReleaseState.RETIRED):
                return _over(row)
            if state not in (ReleaseState.PROMOTING, ReleaseState.STABLE):
                registration = Registration.model_validate(row["registration"])
                passed = [site for site, status in _newest_watches(transaction, release).items() if status is StageStatus.PASS]
                if len(passed) < registration.quorum:
                    what = f"{len(passed)} of {registration.quorum} sites have passed their watch"
                    return StageAnswer(status=StageStatus.FAIL, detail=what)
                promotion.begin(transaction, row, passed, actor)
            return StageAnswer(status=StageStatus.PASS, detail="it has all requests")

    def settle(self, release: str, actor: str) -> StageAnswer:
        """Make a promotion final, or say how far the old release has drained. Raises NotFound."""
        with self._database.write() as transaction:
            row = rollback.lock(transaction, release)
            state = ReleaseState(row["state"])
            if state is ReleaseState.STABLE:
                return StageAnswer(status=StageStatus.PASS, detail="it is the stable release")
            if state is not ReleaseState.PROMOTING:
                return _over(row)
            if row["settled_at"] is None:
                row = promotion.settle(transaction, row, actor)
            return promotion.advance(transaction, row)

    def verdict(self, release: str) -> Verdict:
        """What the guard says of it. Raises NotFound."""
        return self.get(release).release.verdict

    def live(self) -> Sequence[tuple[ReleaseView, Registration]]:
        """Candidates that have requests now."""
        states = releases.c.state.in_((ReleaseState.WATCHING, ReleaseState.PROMOTING))
        statement = select(releases).where(states, releases.c.settled_at.is_(None)).order_by(releases.c.number)
        with self._database.read() as transaction:
            return [
                (_view(transaction, row), Registration.model_validate(row["registration"])) for row in transaction.all(statement)
            ]

    def latencies(self, release: str, site: str, window: timedelta) -> Sequence[float]:
        """Seconds from lease to first heartbeat; a lease still without one counts its age."""
        with self._database.read() as transaction:
            return _latencies(transaction, release, site, window)

    def counts(self, release: str) -> Mapping[str, OutcomeCounts]:
        """By site, of the sites that have had a lease."""
        with self._database.read() as transaction:
            return _counts(transaction, release)

    def evaluated(self, release: str, unanswered: Sequence[str]) -> None:
        """Note that the guard has judged a candidate just now, and which named queries gave it no answer."""
        with self._database.write(durable=False) as transaction:
            values = {"evaluated_at": transaction.now, "unanswered": list(unanswered)}
            if not unanswered:
                values["answered_at"] = transaction.now
            transaction.execute(update(releases).where(releases.c.id == release).values(values))


def _find(transaction: Transaction, release: str) -> Row:
    row = transaction.one(select(releases).where(releases.c.id == release))
    if row is None:
        raise NotFound(f"there is no release {release}")
    return row


def _watchable(row: Row) -> bool:
    return row["state"] in (ReleaseState.WATCHING, ReleaseState.PROMOTING) and row["settled_at"] is None


def _over(row: Row) -> StageAnswer:
    return StageAnswer(status=StageStatus.FAIL, detail=row["reason"] or f"it is {row['state']}")


def _site(row: Row, site: str) -> SiteRelease:
    for each in Registration.model_validate(row["registration"]).sites:
        if each.site == site:
            return each
    raise NotFound(f"release {row['id']} does not go to {site}")


def _one_at_a_time(transaction: Transaction, application: str) -> None:
    if transaction.postgres:
        transaction.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"lorafleet release {application}"))))
    under_way = (releases.c.application == application) & releases.c.state.in_(fleet.UNDER_WAY)
    other = transaction.one(select(releases.c.id).where(under_way).limit(1))
    if other is not None:
        raise Conflict(f"release {other['id']} of {application} is under way", hint="wait for its end, or take it back")


def _view(transaction: Transaction, row: Row) -> ReleaseView:
    registration = Registration.model_validate(row["registration"])
    given = fleet.steps(transaction, row["id"])
    counts = _counts(transaction, row["id"])
    state = ReleaseState(row["state"])
    if state in (ReleaseState.PROMOTING, ReleaseState.STABLE, ReleaseState.RETIRED):
        counts = {site: each for site, each in counts.items() if given[site]["promoted"]}
    verdict = watching.verdict(
        state=state,
        counts=counts,
        newest_watches=_newest_watches(transaction, row["id"]),
        min_samples=registration.min_samples,
        quorum=registration.quorum,
        breaches=[Breach.model_validate(each) for each in row["breaches"]],
        evaluated_at=row["evaluated_at"],
    )
    sites = tuple(site.model_copy(update={"step": given[site.site]["step"]}) for site in registration.sites)
    return ReleaseView(
        id=row["id"],
        application=row["application"],
        image=registration.image,
        release=Release(digest=row["digest"], state=state, sites=sites, verdict=verdict),
        reason=row["reason"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _counts(transaction: Transaction, release: str) -> dict[str, OutcomeCounts]:
    statement = select(attempts.c.site, attempts.c.outcome, func.count().label("count")).where(attempts.c.release_id == release)
    statement = statement.where(attempts.c.track == Track.CANDIDATE).group_by(attempts.c.site, attempts.c.outcome)
    found: dict[str, dict[str, int]] = {}
    for row in transaction.all(statement):
        here = found.setdefault(row["site"], {})
        if row["outcome"] is not None:
            here[row["outcome"]] = row["count"]
    counts = {site: OutcomeCounts(**here) for site, here in found.items()}
    for row in transaction.all(
        select(release_sites.c.site, release_sites.c.past_outcomes).where(release_sites.c.release_id == release)
    ):
        if row["past_outcomes"]:
            counts[row["site"]] = counts.get(row["site"], OutcomeCounts()) + OutcomeCounts(**row["past_outcomes"])
    return counts


def _latencies(transaction: Transaction, release: str, site: str, window: timedelta) -> list[float]:
    # A lease that ended before its training began was cancelled or lost its node, or was a breach by itself.
    started = attempts.c.first_heartbeat_at.is_not(None) & (attempts.c.leased_at > transaction.now - window)
    whose = (attempts.c.release_id == release) & (attempts.c.site == site) & (attempts.c.track == Track.CANDIDATE)
    silent = attempts.c.first_heartbeat_at.is_(None) & IS_LIVE
    found = transaction.all(select(attempts.c.leased_at, attempts.c.first_heartbeat_at).where(whose, started | silent))
    return [((row["first_heartbeat_at"] or transaction.now) - row["leased_at"]).total_seconds() for row in found]


def _newest_watches(transaction: Transaction, release: str) -> dict[str, StageStatus]:
    found = transaction.all(select(watches).where(watches.c.release_id == release).order_by(watches.c.number))
    return {row["site"]: StageStatus(row["status"]) for row in found}


def _unanswered(transaction: Transaction, row: Row, registration: Registration) -> Sequence[str]:
    names = sorted({condition.metric for condition in judgement.named(registration.conditions)})
    if not names or (row["answered_at"] is not None and transaction.now - row["answered_at"] <= ANSWERED_LATELY):
        return ()
    return row["unanswered"] or names
