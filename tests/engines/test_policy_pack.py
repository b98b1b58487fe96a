"""The policy pack in Pulumi's own engine: it passes the three unchanged cloud programs, and stops what breaks a rule."""

import re

import pytest

from tests.engines.pulumi.engine import Engine

PACK = ("--policy-pack", "infra/policy")
POLICIES = re.compile(r"\[(mandatory|advisory)\]\s+(POL\d+)")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(tmp_path_factory.mktemp("policies"))


def broken(text: str) -> set[tuple[str, str]]:
    """Which rules a run says are broken, and how strictly they are held."""
    assert "lorafleet@v" in text, text
    return set(POLICIES.findall(text))


def test_a_first_preview_breaks_no_rule(engine: Engine) -> None:
    """When nothing is made, so that much is not known yet."""
    ran = engine.add_stack("aws-eu-central-1").preview(*PACK)
    assert ran.code == 0, ran.text
    assert broken(ran.text) == set()


def test_a_site_without_protection_is_stopped(engine: Engine) -> None:
    stack = engine.add_stack("azure-westeurope")
    stack.change_config(protect=False)
    ran = stack.preview(*PACK)
    assert ran.code != 0
    assert broken(ran.text) == {("mandatory", "POL131")}
    assert "one `pulumi destroy` deletes it: set `protect: true`" in ran.text


def test_a_site_that_is_to_be_torn_down_is_not_stopped(engine: Engine) -> None:
    stack = engine.add_stack("gcp-us-west1")
    stack.change_config(protect=False)
    ran = stack.preview(*PACK, "--policy-pack-config", "infra/policy/teardown.json")
    assert ran.code == 0, ran.text
    assert broken(ran.text) == {("advisory", "POL131")}
