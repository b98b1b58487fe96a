from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from lorafleet.console.domain.placement import NEAR_FIRST, Candidate, Fleet, Needs, Queued, Stable
from lorafleet.contracts.jobs import GpuSlot
from lorafleet.contracts.release import ReleaseState, Track
from lorafleet.contracts.shares import Share

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STABLE, CANDIDATE = "sha256:" + "5" * 64, "sha256:" + "c" * 64
points = st.integers(0, 10_000)


def fleet(shares: dict[str, int], state: ReleaseState = ReleaseState.WATCHING) -> Fleet:
    given_shares = {site: Share(each) for site, each in shares.items() if each}
    return Fleet(
        stable=tuple(Stable("trainer", site, STABLE) for site in ("aws", "gcp")),
        candidates=(Candidate("r1", "trainer", CANDIDATE, state, given_shares),),
        stores={"aws": "aws-store", "gcp": "gcp-store"},
        alive=("aws", "gcp"),
    )


def job(name: str = "job", **more: object) -> Queued:
    return Queued(name, Needs(), NOW, **more)  # type: ignore[arg-type]


def takers(facts: Fleet, queued: Queued, site: str) -> list[Track]:
    places = [facts.place(site, digest) for digest in (STABLE, CANDIDATE)]
    return [place.track for place in places if place is not None and facts.takes(place, queued)]


@given(st.text("abc-", min_size=1), points, points)
def test_in_each_site_exactly_one_track_takes_a_job(name: str, aws: int, gcp: int) -> None:
    facts = fleet({"aws": aws, "gcp": gcp})
    for site in ("aws", "gcp"):
        assert len(takers(facts, job(name), site)) == 1


@given(st.text("abc-", min_size=1), points, points)
def test_what_a_candidate_takes_it_keeps_while_its_share_grows(name: str, one: int, other: int) -> None:
    small, large = sorted((one, other))
    if takers(fleet({"aws": small}), job(name), "aws") == [Track.CANDIDATE]:
        assert takers(fleet({"aws": large}), job(name), "aws") == [Track.CANDIDATE]


def test_all_and_nothing() -> None:
    assert takers(fleet({"aws": 10_000}), job(), "aws") == [Track.CANDIDATE]
    assert takers(fleet({"aws": 10_000}), job(), "gcp") == [Track.STABLE]


def test_a_job_that_failed_on_the_candidate_is_the_stable_ones_until_there_is_no_other() -> None:
    failed = job(avoid_release="r1")
    assert takers(fleet({"aws": 10_000}), failed, "aws") == [Track.STABLE]
    assert takers(fleet({"aws": 10_000}, ReleaseState.PROMOTING), failed, "aws") == [Track.CANDIDATE]


def test_a_paused_site_and_an_unknown_image_have_no_place() -> None:
    facts = Fleet(stable=(Stable("trainer", "aws", STABLE),), paused=("aws",))
    assert facts.place("aws", STABLE) is None
    assert fleet({}).place("aws", CANDIDATE) is None
    assert fleet({}).place("azure", STABLE) is None


def test_near_first_for_a_moment() -> None:
    facts, near = fleet({}), job(data_stores=("gcp-store",))
    assert facts.near_enough("gcp", near, NOW)
    assert not facts.near_enough("aws", near, NOW)
    assert facts.near_enough("aws", near, NOW + NEAR_FIRST)
    assert facts.near_enough("aws", job(data_stores=("gcp-store",), leased_before=True), NOW)
    assert facts.near_enough("aws", job(data_stores=("elsewhere",)), NOW)
    assert Fleet(stores=facts.stores).near_enough("aws", near, NOW)
    assert Fleet(stores=facts.stores, alive=("gcp",), paused=("gcp",)).near_enough("aws", near, NOW)


@given(st.lists(st.integers(1, 100), max_size=8), st.integers(0, 8), st.integers(0, 100), st.integers(1, 100))
def test_more_gpus_never_make_a_worker_unfit(memories: list[int], gpus: int, memory: int, one_more: int) -> None:
    slots = [GpuSlot(name="GPU", memory_mib=each) for each in memories]
    if Needs(gpus, memory).met_by(slots):
        assert Needs(gpus, memory).met_by([*slots, GpuSlot(name="GPU", memory_mib=one_more)])
