"""The dispatcher against a model of it: whatever workers, releases and clocks do, no job is lost and none has two writers."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from console_actors import CANDIDATE, GRACE, LIFETIME, STABLE, Actors, ending
from console_databases import Clock
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import select, text, true

from lorafleet.console.domain.refusals import Conflict, Fenced
from lorafleet.console.store import fence as fences
from lorafleet.console.store import schema
from lorafleet.console.store.ledger import SqlLedger, open_ledger
from lorafleet.contracts.job_states import JOB_TRANSITIONS, JobState
from lorafleet.contracts.outcomes import OutcomeClass
from lorafleet.contracts.release import ReleaseState
from lorafleet.contracts.release_api import StageStatus, Watch

SITES = ("aws", "gcp")


@dataclass(frozen=True)
class Held:
    """A lease that a worker was given at some time; it may speak of it long after."""

    job: str
    fence: int
    digest: str
    release: str | None


@dataclass
class Model:
    holder: dict[str, int] = field(default_factory=dict)
    fence: dict[str, int] = field(default_factory=dict)
    deadline: dict[str, object] = field(default_factory=dict)
    published: dict[str, dict[tuple[int, int], str | None]] = field(default_factory=dict)
    failed_releases: set[str] = field(default_factory=set)
    states: dict[str, JobState] = field(default_factory=dict)

    def resume(self, job: str) -> int | None:
        valid = [step for (_, step), release in self.published[job].items() if release not in self.failed_releases]
        return max(valid, default=None)


class Names:
    """Ids that are the same each time, since a job's draw follows from its id and Hypothesis repeats what it finds."""

    given = 0

    def __call__(self, name: str, otherwise: str) -> str:
        self.given += 1
        return f"{otherwise}-{self.given}"


class DispatcherMachine(RuleBasedStateMachine):
    ledger: SqlLedger

    names: "Names"

    def __init__(self) -> None:
        super().__init__()
        self.names.given = 0
        with self.ledger._database.write() as transaction:
            for table in reversed(schema.metadata.sorted_tables):
                transaction.execute(table.delete())
        self.clock = Clock()
        self.ledger._database._clock = self.clock
        self.actors = Actors(self.ledger, self.clock, SITES)
        self.model = Model()
        self.release: str | None = None
        self.stable = dict.fromkeys(SITES, STABLE)
        self.promoted: str | None = None
        self.settled = False
        self.workers = 0

    jobs = Bundle("jobs")
    leases = Bundle("leases")

    @rule(target=jobs, priority=st.integers(0, 2))
    def submit(self, priority: int) -> str:
        job = self.actors.submit(priority=priority).id
        self.model.fence[job] = 0
        self.model.published[job] = {}
        return job

    @rule(target=leases, site=st.sampled_from(SITES), candidate=st.booleans())
    def lease(self, site: str, candidate: bool) -> Held:
        digest = CANDIDATE if candidate else self.stable[site]
        self.workers += 1
        found = self.actors.lease(site, f"w{self.workers}", digest)
        if found is None:
            return Held("none", 1, digest, None)
        job, fence = found[0].id, found[1]
        assert job not in self.model.holder, "two workers hold one job"
        assert fence == self.model.fence[job] + 1, "a fence did not grow by one"
        assert (found[0].resume.step if found[0].resume else None) == self.model.resume(job)
        release = None
        if digest == CANDIDATE:
            release = self.promoted if self.stable[site] == CANDIDATE else self.release
            assert release is not None, "a worker of no live release was given a job"
            assert release not in self.model.failed_releases
        self.model.holder[job], self.model.fence[job] = fence, fence
        self.model.deadline[job] = self.clock.at + LIFETIME
        return Held(job, fence, digest, release)

    def _says(self, held: Held, send: object) -> bool:
        """Whether the message was taken, which it must be exactly when its lease holds."""
        holds = self.model.holder.get(held.job) == held.fence
        try:
            send()  # type: ignore[operator]
        except Fenced:
            assert not holds, "a message of the lease that holds was refused"
            return False
        assert holds, "a message of a lease that does not hold was taken"
        return True

    @rule(held=leases)
    def heartbeat(self, held: Held) -> None:
        if self._says(held, lambda: self.actors.beat(held.job, held.fence)):
            self.model.deadline[held.job] = self.clock.at + LIFETIME

    @rule(held=leases, step=st.integers(1, 50))
    def progress(self, held: Held, step: int) -> None:
        self._says(held, lambda: self.ledger.dispatcher.progress([self.actors.progress(held.job, held.fence, step)]))

    @rule(held=leases, step=st.integers(1, 50))
    def publish(self, held: Held, step: int) -> None:
        if (held.fence, step) in self.model.published.get(held.job, {}):
            self.actors.publish(held.job, held.fence, step, held.digest)
        elif self._says(held, lambda: self.actors.publish(held.job, held.fence, step, held.digest)):
            self.model.published[held.job][held.fence, step] = held.release

    @rule(held=leases, outcome=st.sampled_from(OutcomeClass))
    def outcome(self, held: Held, outcome: OutcomeClass) -> None:
        if held.job != "none" and self.model.holder.get(held.job) != held.fence:
            attempt = next(each for each in self.ledger.jobs.attempts("red", held.job) if each.fence == held.fence)
            if attempt.outcome is outcome and attempt.exit_code is not None:
                before = self.ledger.jobs.get("red", held.job)
                assert self.ledger.dispatcher.outcome(ending(held.job, held.fence, outcome), []).state is before.state
                return
        if not self._says(held, lambda: self.actors.end(held.job, held.fence, outcome)):
            return
        del self.model.holder[held.job]
        if self.release and self.ledger.releases.get(self.release).release.state is ReleaseState.ROLLED_BACK:
            # A candidate that failed before its first heartbeat is taken back on the spot.
            self._taken_back()

    @rule(seconds=st.sampled_from([1, 20, 31, 60]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)
        self.ledger.dispatcher.expire(GRACE)
        self._perhaps_stable()
        for job, deadline in list(self.model.deadline.items()):
            if job in self.model.holder and deadline + GRACE <= self.clock.at:  # type: ignore[operator]
                del self.model.holder[job]

    @rule(job=jobs)
    def cancel(self, job: str) -> None:
        try:
            self.ledger.jobs.cancel("red", job, "someone")
        except Conflict:
            assert self.ledger.jobs.get("red", job).state in (JobState.SUCCEEDED, JobState.FAILED)

    @precondition(lambda self: self.release is None and self.promoted is None)
    @rule(share=st.sampled_from(["50%", "100%"]))
    def start_release(self, share: str) -> None:
        self.release = self.actors.candidate(first_share=share, watch=False, min_samples=1, drain="1m")

    @precondition(lambda self: self.release is not None)
    @rule()
    def take_back(self) -> None:
        assert self.release is not None
        if self.settled:
            with pytest.raises(Conflict):
                self.ledger.releases.revoke(self.release, "because", "someone")
            return
        self.ledger.releases.revoke(self.release, "because", "someone")
        self._taken_back()

    def _taken_back(self) -> None:
        assert self.release is not None
        self.model.failed_releases.add(self.release)
        for job, fence in list(self.model.holder.items()):
            attempt = self.ledger.jobs.attempts("red", job)[-1]
            if attempt.digest == CANDIDATE and attempt.fence == fence:
                del self.model.holder[job]
        self.release = None

    @precondition(lambda self: self.release is not None)
    @rule()
    def promote(self) -> None:
        assert self.release is not None
        if self.ledger.releases.get(self.release).release.state is ReleaseState.WATCHING:
            watches = {site: self.ledger.releases.start_watch(self.release, site, Watch(seconds=1, deadline=1)) for site in SITES}
            self.clock.advance(1)
            for site, watch in watches.items():
                self.ledger.releases.watch(self.release, site, watch)
            if self.ledger.releases.get(self.release).release.state is ReleaseState.ROLLED_BACK:
                self._taken_back()
                return
        self.ledger.releases.promote(self.release, "ci")

    @precondition(lambda self: self.release is not None)
    @rule()
    def settle(self) -> None:
        assert self.release is not None
        self.settled = self.ledger.releases.settle(self.release, "ci").status is not StageStatus.FAIL
        self._perhaps_stable()

    def _perhaps_stable(self) -> None:
        if self.release is None:
            return
        release = self.ledger.releases.get(self.release).release
        if release.state is ReleaseState.STABLE:
            self.stable |= {site: CANDIDATE for site in SITES if release.share(site).basis_points}
            self.promoted, self.release, self.settled = self.release, None, False

    @invariant()
    def holders_are_the_live_attempts(self) -> None:
        with self.ledger._database.read() as transaction:
            live = transaction.all(select(schema.attempts.c.job, schema.attempts.c.fence).where(schema.IS_LIVE))
            jobs = {row["id"]: row for row in transaction.all(select(schema.jobs))}
            succeeded = transaction.all(text("SELECT job FROM attempts WHERE state = 'succeeded' GROUP BY job HAVING count(*) > 1"))
        assert sorted((row["job"], row["fence"]) for row in live) == sorted(self.model.holder.items())
        assert succeeded == [], "a job succeeded twice"
        assert jobs.keys() == self.model.fence.keys(), "a job is lost"
        for name, row in jobs.items():
            state = JobState(row["state"])
            assert (state is JobState.RUNNING) == (name in self.model.holder)
            assert row["fence"] == self.model.fence[name]
            if JOB_TRANSITIONS[state]:
                assert row["published_step"] == self.model.resume(name)
            before = self.model.states.get(name, JobState.WAITING)
            assert state is before or JOB_TRANSITIONS[before], f"{name} was {before} and is {state}"
            self.model.states[name] = state

    def teardown(self) -> None:
        self.ledger.access.verify_audit("red")


STEPS = settings(max_examples=15, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(params=["sqlite", "postgresql"])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[DispatcherMachine]]:
    """SQLite in memory: what is asked here is not what a disk keeps."""
    names = Names()
    for module in ("jobs", "releases", "probes", "datasets"):
        monkeypatch.setattr(f"lorafleet.console.store.{module}.new_id", names)
    ledger = open_ledger("sqlite://" if request.param == "sqlite" else request.getfixturevalue("postgres_url"))
    yield type("Machine", (DispatcherMachine,), {"ledger": ledger, "names": names, "TestCase": None})
    ledger.close()


def test_whatever_happens(machine: type[DispatcherMachine]) -> None:
    run_state_machine_as_test(machine, settings=STEPS)


@pytest.mark.parametrize("machine", ["sqlite"], indirect=True)
def test_without_the_fence_the_machine_finds_two_writers(machine: type[DispatcherMachine], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fences, "TOUCH", fences.guarded(true()))
    with pytest.raises(AssertionError, match="does not hold"):
        run_state_machine_as_test(machine, settings=settings(STEPS, max_examples=200, derandomize=True, phases=[Phase.generate]))
