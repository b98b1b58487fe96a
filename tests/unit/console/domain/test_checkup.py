from dataclasses import replace
from datetime import timedelta

import pytest

from lorafleet.console.domain.checkup import SetupFacts, Signing, SiteFacts, judge
from lorafleet.contracts.checkup import CheckResult

GOOD = SetupFacts(
    postgres=True,
    replicas=2,
    loopback=False,
    https=True,
    authenticated=True,
    database="",
    skew=timedelta(),
    stores={"aws": "", "gcp": "", "backup": ""},
    sites=(SiteFacts("aws", "aws", 2), SiteFacts("gcp", "gcp", 1)),
    prometheus="",
    provider="",
    signing=Signing.REQUIRED,
)


def test_a_good_cluster_has_nothing_to_mend() -> None:
    found = judge(GOOD)
    assert (found.kind, found.good) == ("cluster", True)
    assert {check.result for check in found.checks} == {CheckResult.OK}
    assert not any(check.hint for check in found.checks)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({}, "cluster"),
        ({"replicas": 1}, "server"),
        ({"replicas": 1, "postgres": False}, "server"),
        ({"replicas": 1, "postgres": False, "loopback": True, "https": False}, "laptop"),
    ],
)
def test_it_knows_what_it_is(change: dict[str, object], kind: str) -> None:
    assert judge(replace(GOOD, **change)).kind == kind  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "name", "result"),
    [
        ({"database": "connection refused"}, "database", CheckResult.FAIL),
        ({"skew": timedelta(seconds=-3)}, "clock", CheckResult.WARN),
        ({"authenticated": False}, "access", CheckResult.WARN),
        ({"https": False}, "address", CheckResult.FAIL),
        ({"stores": {"aws": "does not answer", "gcp": "", "backup": ""}}, "store aws", CheckResult.FAIL),
        ({"stores": {"aws": "", "gcp": ""}}, "two copies", CheckResult.WARN),
        ({"stores": {"aws": ""}}, "two copies", CheckResult.FAIL),
        ({"sites": (SiteFacts("aws", "aws", 0),)}, "site aws", CheckResult.WARN),
        ({"prometheus": "does not answer"}, "prometheus", CheckResult.FAIL),
        ({"provider": "does not answer"}, "provider", CheckResult.FAIL),
        ({"unreadable_secrets": 1}, "secrets", CheckResult.FAIL),
        ({"postgres": False, "replicas": 1}, "standby", CheckResult.WARN),
        ({"signing": Signing.NOT_CHECKED}, "signatures", CheckResult.WARN),
        ({"signing": Signing.NO_KEY}, "signatures", CheckResult.WARN),
    ],
)
def test_each_fault_is_named_with_a_way_out(change: dict[str, object], name: str, result: CheckResult) -> None:
    found = judge(replace(GOOD, **change))  # type: ignore[arg-type]
    check = next(check for check in found.checks if check.name == name)
    assert check.result is result
    assert check.hint
    assert found.good is not any(each.result is CheckResult.FAIL for each in found.checks)
