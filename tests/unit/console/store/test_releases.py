"""Shares, watches, rollback and promotion, on both databases."""

from datetime import timedelta

import pytest
from console_actors import CANDIDATE, GRACE, LIFETIME, STABLE, TRAINING, Actors

from lorafleet.console.domain.judgement import WINDOW
from lorafleet.console.domain.records import Submission
from lorafleet.console.domain.refusals import Conflict, Fenced, NotFound, Unprocessable
from lorafleet.console.store.probes import SOON
from lorafleet.console.store.promotion import HAND_BACK
from lorafleet.contracts.conditions import parse_condition
from lorafleet.contracts.job_states import AttemptState, JobState
from lorafleet.contracts.jobs import JobKind, Order
from lorafleet.contracts.outcomes import OutcomeClass
from lorafleet.contracts.release import Breach, Decision, HardFault, ReleaseState, Track
from lorafleet.contracts.release_api import StageAnswer, StageStatus, Watch
from lorafleet.contracts.shares import Share, draw

ANOTHER = "sha256:" + "d" * 64


def probes(actors: Actors) -> None:
    dataset = actors.new_dataset("fleet", ("aws-store",), "probe")
    actors.ledger.releases.set_probe_template("fleet", Submission("probe", dataset, "v1", TRAINING))


def sample(actors: Actors, outcome: OutcomeClass, site: str = "aws", worker: str = "c1") -> str:
    """One finished attempt of the candidate; its job."""
    actors.submit()
    job, fence = actors.started(site, worker, CANDIDATE)
    actors.end(job, fence, outcome)
    return job


def desired(actors: Actors) -> dict[tuple[str, str], int]:
    return {(each.site, each.release): each.workers for each in actors.ledger.dispatcher.desired_workers()}


def test_a_release_goes_from_registration_to_watching(actors: Actors) -> None:
    view = actors.register(first_share="10%")
    assert (view.release.state, view.release.digest, view.application) == (ReleaseState.PREPARING, CANDIDATE, "trainer")
    assert actors.ledger.releases.live() == []
    view = actors.ledger.releases.set_share(view.id, "aws", 1)
    assert (view.release.state, view.release.share("aws"), view.release.share("gcp")) == (
        ReleaseState.WATCHING,
        Share(1000),
        Share(0),
    )
    assert [each.id for each, _ in actors.ledger.releases.live()] == [view.id]
    assert actors.ledger.releases.page().rows == (view,)
    with pytest.raises(Unprocessable, match="steps 0 to 2"):
        actors.ledger.releases.set_share(view.id, "aws", 3)
    with pytest.raises(NotFound):
        actors.ledger.releases.set_share(view.id, "azure", 1)


def test_one_release_at_a_time_and_never_the_stable_image(actors: Actors) -> None:
    with pytest.raises(Conflict, match="stable release"):
        actors.register(STABLE)
    first = actors.register()
    with pytest.raises(Conflict, match=first.id):
        actors.register(ANOTHER)
    actors.ledger.releases.revoke(first.id, "no", "someone")
    assert actors.register(ANOTHER).release.digest == ANOTHER


def test_the_share_decides_which_worker_gets_a_job(actors: Actors) -> None:
    release = actors.candidate(first_share="25%")
    jobs = [actors.submit().id for _ in range(40)]
    drawn = {job for job in jobs if draw(job, release) < 2500}
    taken = set()
    while (found := actors.lease(worker="c1", digest=CANDIDATE)) is not None:
        taken.add(found[0].id)
        assert actors.ledger.jobs.attempts("red", found[0].id)[0].track is Track.CANDIDATE
    assert taken == drawn
    rest = set()
    while (found := actors.lease()) is not None:
        rest.add(found[0].id)
    assert rest == set(jobs) - drawn


def test_a_site_without_share_keeps_all_its_jobs(actors: Actors) -> None:
    release = actors.register(first_share="100%").id
    actors.ledger.releases.set_share(release, "gcp", 1)
    actors.submit()
    assert actors.lease(site="gcp") is None
    assert actors.lease(site="aws", digest=CANDIDATE) is None
    assert actors.lease(site="aws") is not None


def test_a_job_that_failed_by_the_candidate_runs_on_stable(actors: Actors) -> None:
    actors.candidate(min_samples=20)
    job = sample(actors, OutcomeClass.RELEASE)
    assert actors.lease(worker="c1", digest=CANDIDATE) is None
    found = actors.lease()
    assert found is not None
    assert found[0].id == job
    assert [each.track for each in actors.ledger.jobs.attempts("red", job)] == [Track.CANDIDATE, Track.STABLE]


def test_a_breach_takes_everything_back_at_once(actors: Actors) -> None:
    actors.submit()
    job, fence = actors.started("aws", "w1")
    actors.publish(job, fence, 10)
    actors.end(job, fence, OutcomeClass.PREEMPTED)
    release = actors.candidate()
    watch = actors.ledger.releases.start_watch(release, "aws", Watch(seconds=60, deadline=300))
    on_candidate = actors.started("gcp", "c1", CANDIDATE)
    assert on_candidate == (job, 2)
    actors.publish(*on_candidate, 50, CANDIDATE)
    assert actors.ledger.jobs.get("red", job).published_step == 50
    breach = Breach(site="gcp", at=actors.clock.at, condition=parse_condition("errorRate > 5%"), value=0.5)
    view = actors.ledger.releases.breach(release, [breach], "half of them fail")
    assert (view.release.state, view.release.verdict.decision, view.reason) == (
        ReleaseState.ROLLED_BACK, Decision.BREACH, "half of them fail",
    )  # fmt: skip
    assert [view.release.share(site).basis_points for site in ("aws", "gcp")] == [0, 0]
    record = actors.ledger.jobs.get("red", job)
    assert (record.state, record.published_step) == (JobState.WAITING, 10)
    assert actors.ledger.jobs.attempts("red", job)[1].state is AttemptState.REVOKED
    with pytest.raises(Fenced):
        actors.publish(*on_candidate, 60, CANDIDATE)
    assert actors.ledger.releases.watch(release, "aws", watch).status is StageStatus.FAIL
    assert actors.lease(site="gcp", worker="c1", digest=CANDIDATE) is None
    found = actors.lease(site="gcp")
    assert found is not None
    assert found[0].resume is not None
    assert (found[1], found[0].resume.step, found[0].resume.fence) == (3, 10, 1)
    assert actors.ledger.releases.breach(release, [breach], "again") == view
    assert actors.ledger.releases.revoke(release, "again", "someone") == view


def test_a_checkpoint_of_the_failed_release_is_passed_over_where_its_job_already_waits(actors: Actors) -> None:
    release = actors.candidate()
    actors.submit()
    lease = actors.started("aws", "c1", CANDIDATE)
    actors.publish(*lease, 30, CANDIDATE)
    actors.end(*lease, OutcomeClass.PREEMPTED)
    actors.ledger.releases.revoke(release, "taken back", "someone")
    assert actors.ledger.jobs.get("red", lease[0]).published_step is None
    found = actors.lease()
    assert found is not None
    assert found[0].resume is None


def test_a_cancelled_job_of_a_revoked_lease_ends(actors: Actors) -> None:
    release = actors.candidate()
    job = actors.submit().id
    actors.started("aws", "c1", CANDIDATE)
    actors.ledger.jobs.cancel("red", job, "someone")
    actors.ledger.releases.revoke(release, "no", "someone")
    assert actors.ledger.jobs.get("red", job).state is JobState.CANCELLED


def test_a_crash_before_the_first_heartbeat_is_a_breach_without_statistics(actors: Actors) -> None:
    release = actors.candidate(min_samples=20)
    actors.submit()
    found = actors.lease("aws", "c1", CANDIDATE)
    assert found is not None
    record = actors.end(found[0].id, found[1], OutcomeClass.RELEASE)
    verdict = actors.ledger.releases.verdict(release)
    assert (record.state, [breach.fault for breach in verdict.breaches]) == (JobState.WAITING, [HardFault.CUDA_INIT])


def test_the_same_crash_on_stable_is_no_breach_of_anything(actors: Actors) -> None:
    actors.candidate(first_share="0.01%")
    actors.submit()
    found = actors.lease()
    assert found is not None
    actors.end(found[0].id, found[1], OutcomeClass.RELEASE)
    assert len(actors.ledger.releases.live()) == 1


def test_counts_are_of_the_candidate_by_site(actors: Actors) -> None:
    release = actors.candidate(min_samples=20)
    for outcome in (OutcomeClass.SUCCEEDED, OutcomeClass.SUCCEEDED, OutcomeClass.RELEASE, OutcomeClass.USER):
        sample(actors, outcome)
    sample(actors, OutcomeClass.PREEMPTED, "gcp")
    counts = actors.ledger.releases.counts(release)
    assert (counts["aws"].succeeded, counts["aws"].release, counts["aws"].user, counts["gcp"].preempted) == (2, 1, 1, 1)
    assert actors.ledger.releases.verdict(release).counts == counts


def test_latencies_run_from_the_lease_to_the_first_heartbeat(actors: Actors) -> None:
    release = actors.candidate()
    for _ in range(3):
        actors.submit()
    first = actors.lease("aws", "c1", CANDIDATE)
    assert first is not None
    actors.clock.advance(3)
    actors.beat(first[0].id, first[1])
    actors.lease("aws", "c2", CANDIDATE)
    actors.clock.advance(5)
    assert sorted(actors.ledger.releases.latencies(release, "aws", WINDOW)) == [3.0, 5.0]
    assert actors.ledger.releases.latencies(release, "gcp", WINDOW) == []
    actors.clock.advance(WINDOW.total_seconds() - 1)
    assert list(actors.ledger.releases.latencies(release, "aws", WINDOW)) == [5.0 + WINDOW.total_seconds() - 1]


def test_a_watch_passes_with_enough_samples_at_its_end(actors: Actors) -> None:
    release = actors.candidate(sites=("aws",))
    watch = actors.ledger.releases.start_watch(release, "aws", Watch(seconds=60, deadline=300))
    for _ in range(2):
        sample(actors, OutcomeClass.SUCCEEDED)
    actors.clock.advance(59)
    assert actors.ledger.releases.watch(release, "aws", watch).status is StageStatus.RUNNING
    actors.clock.advance(1)
    for _ in range(2):
        answer = actors.ledger.releases.watch(release, "aws", watch)
        assert (answer.status, answer.detail) == (StageStatus.PASS, "2 samples in aws, 0 failed")
    assert actors.ledger.releases.verdict(release).decision is Decision.PASSED


def test_a_watch_with_too_few_samples_is_no_pass(actors: Actors) -> None:
    release = actors.candidate(sites=("aws",), min_samples=20)
    watch = actors.ledger.releases.start_watch(release, "aws", Watch(seconds=60, deadline=300))
    for _ in range(12):
        sample(actors, OutcomeClass.SUCCEEDED)
    actors.clock.advance(60)
    assert actors.ledger.releases.watch(release, "aws", watch).status is StageStatus.RUNNING
    actors.clock.advance(240)
    answer = actors.ledger.releases.watch(release, "aws", watch)
    assert (answer.status, answer.detail) == (StageStatus.FAIL, "too few samples: 12 of 20 in aws")
    assert actors.ledger.releases.verdict(release).decision is Decision.INCONCLUSIVE
    assert actors.ledger.releases.promote(release, "ci").status is StageStatus.FAIL


def test_a_watch_judges_by_itself(actors: Actors) -> None:
    release = actors.candidate(sites=("aws",))
    watch = actors.ledger.releases.start_watch(release, "aws", Watch(seconds=60, deadline=300))
    sample(actors, OutcomeClass.SUCCEEDED)
    sample(actors, OutcomeClass.RELEASE)
    answer = actors.ledger.releases.watch(release, "aws", watch)
    assert (answer.status, answer.detail) == (StageStatus.FAIL, "aws: errorRate > 5% is broken by 0.5")
    assert actors.ledger.releases.get(release).release.state is ReleaseState.ROLLED_BACK


def test_a_watch_needs_an_answer_to_each_named_query(actors: Actors) -> None:
    release = actors.candidate(sites=("aws",), conditions=["gpuErrors > 3"], queries={"gpuErrors": "sum(errors)"})
    watch = actors.ledger.releases.start_watch(release, "aws", Watch(seconds=60, deadline=300))
    for _ in range(2):
        sample(actors, OutcomeClass.SUCCEEDED)
    actors.clock.advance(60)
    assert actors.ledger.releases.watch(release, "aws", watch).status is StageStatus.RUNNING
    actors.ledger.releases.evaluated(release, ["gpuErrors"])
    assert actors.ledger.releases.watch(release, "aws", watch).status is StageStatus.RUNNING
    actors.ledger.releases.evaluated(release, [])
    assert actors.ledger.releases.watch(release, "aws", watch).status is StageStatus.PASS


def test_a_watch_nobody_could_judge_fails_in_the_end(actors: Actors) -> None:
    release = actors.candidate(sites=("aws",), conditions=["gpuErrors > 3"], queries={"gpuErrors": "sum(errors)"})
    watch = actors.ledger.releases.start_watch(release, "aws", Watch(seconds=60, deadline=300))
    for _ in range(2):
        sample(actors, OutcomeClass.SUCCEEDED)
    actors.clock.advance(300)
    answer = actors.ledger.releases.watch(release, "aws", watch)
    assert (answer.status, answer.detail) == (StageStatus.FAIL, "no answer to gpuErrors: nobody could judge it")


def test_starting_a_watch_twice_gives_the_same(actors: Actors) -> None:
    release = actors.candidate(sites=("aws",), first_share="10%", watch=False)
    first = actors.ledger.releases.start_watch(release, "aws", Watch(seconds=60, deadline=300))
    assert actors.ledger.releases.start_watch(release, "aws", Watch(seconds=60, deadline=300)) == first
    actors.ledger.releases.set_share(release, "aws", 2)
    second = actors.ledger.releases.start_watch(release, "aws", Watch(seconds=60, deadline=300))
    assert second != first
    assert actors.ledger.releases.watch(release, "aws", first).status is StageStatus.FAIL
    actors.ledger.releases.set_share(release, "aws", 0)
    with pytest.raises(Conflict, match="no requests"):
        actors.ledger.releases.start_watch(release, "aws", Watch(seconds=60, deadline=300))
    with pytest.raises(NotFound):
        actors.ledger.releases.watch(release, "aws", "made-up")


def test_probes_fill_up_what_is_lacking_and_no_more(actors: Actors) -> None:
    probes(actors)
    actors.candidate(sites=("aws",))
    assert desired(actors)["aws", CANDIDATE] == 2
    first, second = actors.lease("aws", "c1", CANDIDATE), actors.lease("aws", "c2", CANDIDATE)
    assert first is not None
    assert second is not None
    assert (first[0].kind, second[0].kind) == (JobKind.PROBE, JobKind.PROBE)
    assert actors.lease("aws", "c3", CANDIDATE) is None
    actors.end(first[0].id, first[1], OutcomeClass.SUCCEEDED)
    assert actors.lease("aws", "c1", CANDIDATE) is None
    assert actors.end(second[0].id, second[1], OutcomeClass.INFRASTRUCTURE).state is JobState.FAILED
    assert actors.lease("aws", "c1", CANDIDATE) is not None
    assert desired(actors)["aws", CANDIDATE] == 1


def test_users_jobs_go_before_probes(actors: Actors) -> None:
    probes(actors)
    actors.candidate(sites=("aws",))
    job = actors.submit().id
    kinds = [found[0].kind for found in (actors.lease("aws", "c1", CANDIDATE), actors.lease("aws", "c2", CANDIDATE)) if found]
    assert kinds == [JobKind.USER, JobKind.PROBE]
    assert actors.ledger.jobs.get("red", job).state is JobState.RUNNING


def test_an_attempt_that_goes_on_and_on_holds_no_sample_up(actors: Actors) -> None:
    probes(actors)
    actors.candidate(sites=("aws",))
    job = actors.submit().id
    long, probe = actors.lease("aws", "c1", CANDIDATE), actors.lease("aws", "c2", CANDIDATE)
    assert long is not None
    assert probe is not None
    assert (long[0].id, probe[0].kind) == (job, JobKind.PROBE)
    assert actors.lease("aws", "c3", CANDIDATE) is None
    actors.clock.advance(SOON.total_seconds() + 1)
    actors.end(probe[0].id, probe[1], OutcomeClass.SUCCEEDED)
    another = actors.lease("aws", "c2", CANDIDATE)
    assert another is not None
    assert another[0].kind is JobKind.PROBE


def test_no_probes_without_a_watch_on_stable_or_without_a_template(actors: Actors) -> None:
    actors.candidate(watch=False)
    assert actors.lease("aws", "c1", CANDIDATE) is None
    probes(actors)
    assert actors.lease("aws", "c1", CANDIDATE) is None
    assert actors.lease("aws", "w1") is None
    with pytest.raises(NotFound):
        actors.ledger.releases.set_probe_template("red", Submission("probe", "none", "v1", TRAINING))


def test_a_probe_that_cannot_be_made_any_more_holds_no_lease_up(actors: Actors, caplog: pytest.LogCaptureFixture) -> None:
    dataset = actors.new_dataset("fleet", ("aws-store",), "probe")
    actors.ledger.releases.set_probe_template("fleet", Submission("probe", dataset, "v1", {**TRAINING, "of_another_version": 1}))
    actors.candidate()
    job = actors.submit().id
    answers = actors.ledger.dispatcher.lease_many(
        [actors.request(worker=f"c{number}", digest=CANDIDATE) for number in range(2)], LIFETIME
    )
    assert [None if each is None else each[0].id for each in answers] == [job, None]
    assert "no probe" in caplog.text


def test_a_probe_of_a_revoked_release_is_over(actors: Actors) -> None:
    probes(actors)
    release = actors.candidate()
    found = actors.lease("aws", "c1", CANDIDATE)
    assert found is not None
    actors.ledger.releases.revoke(release, "no", "someone")
    assert actors.ledger.jobs.get("fleet", found[0].id).state is JobState.CANCELLED


def passed(actors: Actors, sites: tuple[str, ...] = ("aws", "gcp"), **more: object) -> str:
    """A candidate whose watch passed in these sites."""
    release = actors.candidate(watch=False, **more)
    watches = {site: actors.ledger.releases.start_watch(release, site, Watch(seconds=1, deadline=2)) for site in sites}
    for site in sites:
        for _ in range(2):
            sample(actors, OutcomeClass.SUCCEEDED, site)
    actors.clock.advance(1)
    for site, watch in watches.items():
        assert actors.ledger.releases.watch(release, site, watch).status is StageStatus.PASS
    return release


def promoted_and_settled(actors: Actors, release: str) -> StageAnswer:
    assert actors.ledger.releases.promote(release, "ci").status is StageStatus.PASS
    return actors.ledger.releases.settle(release, "ci")


def test_a_promoted_release_is_watched_on_and_nothing_drains_before_it_is_settled(actors: Actors) -> None:
    actors.submit()
    old = actors.started("aws", "old")
    release = passed(actors, drain="1s")
    assert actors.ledger.releases.settle(release, "ci").status is StageStatus.FAIL
    assert actors.ledger.releases.promote(release, "ci").status is StageStatus.PASS
    watch = actors.ledger.releases.start_watch(release, "aws", Watch(seconds=5, deadline=5))
    actors.clock.advance(5)
    actors.ledger.dispatcher.expire(GRACE)
    assert actors.beat(*old).order is Order.CONTINUE
    assert actors.ledger.releases.get(release).release.state is ReleaseState.PROMOTING
    assert actors.ledger.releases.watch(release, "aws", watch).status is StageStatus.PASS
    assert actors.ledger.releases.settle(release, "ci").status is StageStatus.RUNNING
    with pytest.raises(Conflict, match="nothing to watch"):
        actors.ledger.releases.start_watch(release, "aws", Watch(seconds=5, deadline=5))
    assert actors.ledger.releases.live() == []


def test_promotion_drains_the_old_release_and_retires_it(actors: Actors) -> None:
    actors.submit()
    old = actors.started("aws", "old")
    release = passed(actors, drain="1h")
    assert promoted_and_settled(actors, release).status is StageStatus.RUNNING
    view = actors.ledger.releases.get(release)
    assert (view.release.state, view.release.share("aws"), view.release.verdict.decision) == (
        ReleaseState.PROMOTING, Share(10_000), Decision.PASSED,
    )  # fmt: skip
    assert actors.beat(*old).order is Order.CONTINUE
    actors.submit()
    assert actors.lease("aws", "old2") is None
    assert desired(actors)["aws", STABLE] == 1
    actors.clock.advance(3600)
    actors.beat(*old)
    actors.ledger.dispatcher.expire(GRACE)
    assert actors.beat(*old).order is Order.HAND_BACK
    actors.publish(*old, 40)
    assert actors.ledger.releases.settle(release, "ci").status is StageStatus.RUNNING
    with pytest.raises(Conflict, match="never taken back"):
        actors.ledger.releases.revoke(release, "too late", "someone")
    actors.end(*old, OutcomeClass.PREEMPTED, 40)
    answer = actors.ledger.releases.settle(release, "ci")
    assert (answer.status, answer.detail) == (StageStatus.PASS, "stable in aws, gcp")
    view = actors.ledger.releases.get(release)
    assert (view.release.state, view.release.track) == (ReleaseState.STABLE, Track.STABLE)
    assert actors.lease("aws", "old3") is None
    found = actors.lease("aws", "new", CANDIDATE)
    assert found is not None
    assert found[0].resume is not None
    assert found[0].resume.step == 40
    assert actors.ledger.jobs.attempts("red", found[0].id)[-1].track is Track.STABLE
    assert actors.ledger.releases.settle(release, "ci").status is StageStatus.PASS
    with pytest.raises(Conflict, match="never taken back"):
        actors.ledger.releases.revoke(release, "too late", "someone")


def test_the_release_before_is_retired(actors: Actors) -> None:
    first = passed(actors)
    assert promoted_and_settled(actors, first).status is StageStatus.PASS
    second = actors.register(ANOTHER)
    for site in actors.sites:
        actors.ledger.releases.set_share(second.id, site, 1)
        watch = actors.ledger.releases.start_watch(second.id, site, Watch(seconds=1, deadline=1))
        for _ in range(2):
            actors.submit()
            actors.end(*actors.started(site, "n", ANOTHER), OutcomeClass.SUCCEEDED)
        actors.clock.advance(1)
        actors.ledger.releases.watch(second.id, site, watch)
    assert promoted_and_settled(actors, second.id).status is StageStatus.PASS
    states = [actors.ledger.releases.get(each).release.state for each in (first, second.id)]
    assert states == [ReleaseState.RETIRED, ReleaseState.STABLE]


def test_a_worker_that_never_hands_back_loses_its_lease(actors: Actors) -> None:
    job = actors.submit().id
    old = actors.started("aws", "old")
    release = passed(actors, drain="1m")
    promoted_and_settled(actors, release)
    actors.clock.advance(60 + HAND_BACK.total_seconds())
    actors.beat(*old)
    assert actors.ledger.releases.settle(release, "ci").status is StageStatus.PASS
    assert actors.ledger.jobs.get("red", job).state is JobState.WAITING
    with pytest.raises(Fenced):
        actors.beat(*old)


def test_promotion_needs_its_quorum_and_leaves_out_the_others(actors: Actors) -> None:
    view = actors.register(quorum=2)
    for site in actors.sites:
        actors.ledger.releases.set_share(view.id, site, 1)
    watch = actors.ledger.releases.start_watch(view.id, "aws", Watch(seconds=1, deadline=1))
    for _ in range(2):
        sample(actors, OutcomeClass.SUCCEEDED)
    actors.clock.advance(1)
    assert actors.ledger.releases.watch(view.id, "aws", watch).status is StageStatus.PASS
    answer = actors.ledger.releases.promote(view.id, "ci")
    assert (answer.status, answer.detail) == (StageStatus.FAIL, "1 of 2 sites have passed their watch")


def test_a_site_that_was_not_reached_keeps_the_old_release(actors: Actors) -> None:
    release = actors.register().id
    actors.ledger.releases.set_share(release, "aws", 1)
    watch = actors.ledger.releases.start_watch(release, "aws", Watch(seconds=1, deadline=1))
    for _ in range(2):
        sample(actors, OutcomeClass.SUCCEEDED)
    actors.clock.advance(1)
    actors.ledger.releases.watch(release, "aws", watch)
    answer = promoted_and_settled(actors, release)
    assert (answer.status, answer.detail) == (StageStatus.PASS, "stable in aws")
    actors.submit()
    actors.submit()
    assert actors.lease("gcp", "g1", CANDIDATE) is None
    assert actors.lease("gcp", "g1") is not None
    assert actors.lease("aws", "a1") is None
    assert actors.lease("aws", "a1", CANDIDATE) is not None


def test_a_breach_while_promoting_gives_everything_to_the_old_release(actors: Actors) -> None:
    actors.submit()
    old = actors.started("aws", "old")
    release = passed(actors)
    assert actors.ledger.releases.promote(release, "ci").status is StageStatus.PASS
    watch = actors.ledger.releases.start_watch(release, "aws", Watch(seconds=60, deadline=60))
    fault = Breach(site="aws", at=actors.clock.at, fault=HardFault.SMOKE_JOB)
    actors.ledger.releases.breach(release, [fault], "")
    actors.beat(*old)
    actors.submit()
    assert actors.lease("gcp", "c9", CANDIDATE) is None
    assert actors.lease("gcp", "old2") is not None
    assert actors.ledger.releases.watch(release, "aws", watch).status is StageStatus.FAIL
    assert actors.ledger.releases.promote(release, "ci").status is StageStatus.FAIL
    assert actors.ledger.releases.settle(release, "ci").status is StageStatus.FAIL


def test_desired_workers_follow_queue_share_and_size(actors: Actors) -> None:
    assert set(desired(actors).values()) == {0}
    for _ in range(7):
        actors.submit()
    assert sum(desired(actors).values()) == 7
    release = actors.candidate(first_share="100%")
    now = desired(actors)
    assert [now[site, CANDIDATE] for site in actors.sites] == [2, 2]
    assert [now[site, STABLE] for site in actors.sites] == [0, 0]
    actors.started("aws", "c1", CANDIDATE)
    assert desired(actors)["aws", CANDIDATE] == 2
    actors.ledger.releases.revoke(release, "no", "someone")
    now = desired(actors)
    assert now["aws", CANDIDATE] == now["gcp", CANDIDATE] == 0
    assert now["aws", STABLE] + now["gcp", STABLE] == 7


def test_a_site_that_brings_no_worker_up_is_not_waited_for(actors: Actors) -> None:
    actors.submit()
    assert sum(desired(actors).values()) == 1
    actors.clock.advance(timedelta(minutes=2).total_seconds())
    assert [desired(actors)[site, STABLE] for site in actors.sites] == [1, 1]
