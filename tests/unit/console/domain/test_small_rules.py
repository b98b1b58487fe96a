"""Tokens, ids, the audit chain, resume points, demand and reasons."""

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafleet.console.domain.audit_chain import FIRST, digest
from lorafleet.console.domain.demand import ANYWHERE_AFTER, DemandFacts, desired
from lorafleet.console.domain.naming import new_id
from lorafleet.console.domain.placement import Fleet, Needs, Queued, Stable
from lorafleet.console.domain.resume import newest
from lorafleet.console.domain.tokens import fingerprint, new_token, well_formed
from lorafleet.console.domain.waiting import WaitingFacts, reason
from lorafleet.contracts.layout import ID

NOW = datetime(2026, 1, 1, tzinfo=UTC)
IMAGE = "sha256:" + "5" * 64


def test_tokens_check_themselves() -> None:
    token = new_token()
    assert well_formed(token)
    assert token != new_token()
    assert re.fullmatch(r"lf_[0-9A-Za-z]{49}", token)
    for wrong in (token[:-1], token + "a", token[3:], "", "lf_", token.swapcase(), token[:-1] + ("a" if token[-1] != "a" else "b")):
        assert not well_formed(wrong)
    assert re.fullmatch(r"[0-9a-f]{64}", fingerprint(token))


@given(st.text(), st.sampled_from(["job", "set"]))
def test_every_name_gives_an_id(name: str, otherwise: str) -> None:
    assert re.fullmatch(ID, new_id(name, otherwise))
    assert new_id(name, otherwise) != new_id(name, otherwise)


row = st.tuples(
    st.text(),
    st.integers(1, 9),
    st.datetimes(timezones=st.just(UTC)),
    st.text(),
    st.text(),
    st.text(),
    st.dictionaries(st.text(), st.integers()),
)


@given(row, row)
def test_different_rows_have_different_digests(one: tuple, other: tuple) -> None:  # type: ignore[type-arg]
    assert (digest(FIRST, *one) == digest(FIRST, *other)) is (one == other)
    assert digest(FIRST, *one) != digest("1" * 64, *one)


class Written(NamedTuple):
    fence: int
    step: int
    release_id: str | None
    stores: tuple[str, ...]


written = st.builds(
    Written,
    st.integers(1, 5),
    st.integers(0, 9),
    st.sampled_from([None, "r1", "r2"]),
    st.sampled_from([("a",), ("b",), ("a", "b"), ()]),
)


@given(st.lists(written), st.sets(st.sampled_from(["r1", "r2"])), st.sets(st.sampled_from(["a", "b"])))
def test_the_newest_usable_checkpoint(checkpoints: list[Written], failed: set[str], lost: set[str]) -> None:
    usable = [each for each in checkpoints if each.release_id not in failed and (not each.stores or set(each.stores) - lost)]
    found = newest(checkpoints, failed, lost)
    assert (found is None) is (usable == [])
    if found is not None:
        assert found in usable
        assert (found.step, found.fence) == max((each.step, each.fence) for each in usable)


def demand(jobs: int, sizes: dict[str, int | None], running: dict[str, int], waited: float = 0, lacking: int = 0) -> dict[str, int]:
    facts = DemandFacts(
        fleet=Fleet(stable=tuple(Stable("trainer", site, IMAGE) for site in sizes), stores={site: site for site in sizes}),
        waiting=[Queued(f"job-{number}", Needs(), NOW - timedelta(seconds=waited), ("near",)) for number in range(jobs)],
        now=NOW,
        running={(site, IMAGE): count for site, count in running.items()},
        spots={(site, IMAGE): size for site, size in sizes.items()},
        lacking={("near", IMAGE): lacking},
    )
    return {each.site: each.workers for each in desired(facts)}


def test_demand_goes_near_the_data_and_then_where_room_is() -> None:
    assert demand(0, {"near": 2, "far": 5}, {}) == {"near": 0, "far": 0}
    assert demand(1, {"near": 2, "far": 5}, {}) == {"near": 1, "far": 0}
    assert demand(4, {"near": 2, "far": 5}, {"near": 1}) == {"near": 2, "far": 3}
    assert demand(100, {"near": 2, "far": 5}, {}) == {"near": 2, "far": 5}
    assert demand(1, {"near": None, "far": 5}, {"near": 9}) == {"near": 10, "far": 0}


def test_who_waits_long_asks_everywhere() -> None:
    assert demand(1, {"near": 2, "far": 5}, {}, waited=ANYWHERE_AFTER.total_seconds()) == {"near": 1, "far": 1}


def test_lacking_samples_ask_for_workers_too() -> None:
    assert demand(0, {"near": 3}, {}, lacking=20) == {"near": 3}
    assert demand(1, {"near": 9}, {"near": 1}, lacking=2) == {"near": 3}


def waits(**more: object) -> str:
    values = {
        "now": NOW, "not_before": NOW, "workers": 2, "fitting": 2, "needs": "1 GPU", "largest": "1 GPU", "takers": 2, "idle": 1, **more,
    }  # fmt: skip
    return reason(WaitingFacts(**values))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "It is next: a worker takes it in a moment."),
        ({"not_before": NOW + timedelta(seconds=4)}, "It failed before and is tried again in 4 s."),
        ({"quota": 3}, "The team's quota of 3 running jobs is used up."),
        ({"workers": 0}, "No worker is there in any site."),
        ({"fitting": 0}, "No worker has what it needs (1 GPU); the largest has 1 GPU."),
        ({"takers": 0}, "No worker runs the stable release."),
        ({"takers": 0, "candidate_sites": ("aws",)}, "It is drawn for the new release in aws, which has no worker there yet."),
        ({"before": 1}, "1 job is before it."),
        ({"before": 12}, "12 jobs are before it."),
        ({"near_until": NOW + timedelta(seconds=1)}, "It waits a moment for a site that has its data."),
        ({"idle": 0}, "All workers are busy."),
    ],
)
def test_the_reason_for_waiting(more: dict[str, object], words: str) -> None:
    assert waits(**more) == words
