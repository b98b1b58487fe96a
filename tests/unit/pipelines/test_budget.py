from dataclasses import replace
from datetime import timedelta

import pytest
from fleets import cluster, compiled, fleet, sites
from hypothesis import given, settings
from hypothesis import strategies as st

from lorafleet.contracts.problems import ConfigError
from pipelines.budget import CONSTANTS, GRACE, check_budget, paths
from pipelines.compile import compile_fleet
from pipelines.manifests.release import TrackValue
from pipelines.manifests.worker import Workers, deployment
from pipelines.model.stages import Role

AWS, GCP = "aws-eu-central-1", "gcp-us-west1"


def test_the_worst_case_is_the_sum_of_its_parts() -> None:
    release, _ = compiled(fleet(cluster(AWS)))
    worst = paths(release)[0]
    assert [part.length.total_seconds() for part in worst.parts] == [2, 15, 0.6, 10, 15, 5, 30, 5]
    assert worst.total == timedelta(seconds=82.6)


def test_the_grace_is_that_of_the_pods() -> None:
    workers = Workers("loras", sites()[AWS], "trainer", "https://fleet.example.org", 1)
    pod = deployment(workers, TrackValue.CANDIDATE)["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == GRACE.length.total_seconds()


def test_more_than_is_allowed_is_refused_with_the_sum_and_its_parts() -> None:
    with pytest.raises(ConfigError) as caught:
        compile_fleet(fleet(cluster(AWS), rollback={"within": "60s"}), sites())
    message = str(caught.value)
    assert message.startswith("rollback.within: 1m cannot be kept; the worst case is 1m22s600ms from ")
    assert "from 'Watch 100% promoted aws-eu-central-1' to 'Remove workers aws-eu-central-1 at the end'" in message
    assert "the guard judges 2s + the watch stage polls 15s + 3 stages are passed 600ms + 'Revoke at the end' 10s" in message
    assert message.endswith("(allow 1m23s or more, or let shares grow in fewer steps)")


def test_many_steps_take_longer_to_fall_through() -> None:
    with pytest.raises(ConfigError, match=r"rollback\.within"):
        compiled(fleet(cluster(AWS, "rolling", share="1%")))
    assert compiled(fleet(cluster(AWS, "rolling", share="1%"), rollback={"within": "5m"}))


def test_a_watch_without_a_take_back_is_refused() -> None:
    release, _ = compiled(fleet(cluster(AWS)))
    last = next(index for index, stage in enumerate(release.stages) if stage.ref_id.startswith("watch-"))
    cut = replace(release, stages=release.stages[: last + 1])
    with pytest.raises(ConfigError, match="no take-back follows 'Watch 10% aws-eu-central-1'"):
        check_budget(cut, timedelta(hours=1))


def test_every_constant_has_a_source() -> None:
    assert all(part.source and part.length > timedelta() for part in CONSTANTS)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from(["canary", "bluegreen", "rolling"]), min_size=1, max_size=3), st.booleans())
def test_every_watch_leads_to_a_removal_in_every_site(strategies: list[str], asked: bool) -> None:
    names = [AWS, GCP, "azure-westeurope"][: len(strategies)]
    clusters = [cluster(name, strategy) for name, strategy in zip(names, strategies, strict=True)]
    release, _ = compiled(fleet(*clusters, approvals=[{"before": "promote"}] if asked else []))
    found = paths(release)
    for watch in (stage for stage in release.stages if stage.role is Role.WATCH):
        accounts = {path.remove.to_json()["account"] for path in found if path.watch is watch}
        assert accounts == set(names)
