"""The replay that the clocks of a rollback begin with."""

import pytest

from lorafleet.contracts.release import SiteRelease
from lorafleet.contracts.release_api import Registration
from tests.engines.delivery.clocks import Lived, first_violation, quantiles

DIGEST = "sha256:" + "1" * 64


def registration(min_samples: int = 4) -> Registration:
    site = SiteRelease.model_validate({"site": "eu", "strategy": "canary", "target_size": 1, "first_share": "10%"})
    return Registration.model_validate(
        {
            "application": "app",
            "image": "registry.example.org/trainer",
            "digest": DIGEST,
            "sites": [site.model_dump(mode="json")],
            "conditions": ["errorRate > 25%", "latency > 2s"],
            "min_samples": min_samples,
        }
    )


def lived(leased: float, outcome: str | None, heard: float | None = None, ended: float | None = None, site: str = "eu") -> Lived:
    return Lived(site, leased, heard if heard is not None else leased + 0.1, ended, outcome)


def test_errors_count_from_the_sample_that_fills_the_minimum():
    attempts = [lived(at, "release" if at in (0, 1) else "succeeded", ended=at + 0.5) for at in range(4)]
    assert first_violation(attempts, registration(4)) == 3.5
    assert first_violation(attempts, registration(2)) == 1.5


def test_what_stays_within_the_limits_violates_nothing():
    attempts = [lived(at, "release" if at == 0 else "succeeded", ended=at + 0.5) for at in range(4)]
    assert first_violation(attempts, registration(4)) is None


def test_a_silent_lease_violates_when_it_comes_of_age():
    attempts = [Lived("eu", at, None, None, None) for at in (0.0, 1.0, 2.0, 3.0)]
    assert first_violation(attempts, registration(4)) == pytest.approx(3.0, abs=1e-3)


def test_a_late_heartbeat_violates_before_it_comes():
    attempts = [Lived("eu", at, at + 5, at + 6, "succeeded") for at in (0.0, 0.0, 0.0, 0.0)]
    assert first_violation(attempts, registration(4)) == pytest.approx(2.0, abs=1e-3)


def test_sites_are_judged_alone():
    attempts = [lived(at, "release", ended=at + 0.5, site=site) for at, site in enumerate(("eu", "us", "eu", "us"))]
    assert first_violation(attempts, registration(3)) is None


def test_quantiles_are_values_that_were_seen():
    assert quantiles([3.0, 1.0, 2.0]) == {"p50": 2.0, "p95": 3.0, "max": 3.0}
    assert quantiles([float(number) for number in range(1, 101)])["p95"] == 95.0
