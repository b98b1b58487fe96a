"""The unchanged cloud programs with the repository's own stack files, on Pulumi's real engine, against a stand-in for each cloud."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.contract import EXPORT, CloudOutputs
from tests.engines.pulumi.cloud_standin.asked import SECRET
from tests.engines.pulumi.cloud_standin.injection import DELAY, FAIL
from tests.engines.pulumi.cloud_standin.store import Store
from tests.engines.pulumi.engine import POLICIES, ROOT, Engine, Stack


@dataclass(frozen=True)
class Site:
    """A site, what goes wrong when it is first built, and what somebody changes there by hand.

    ``drift`` is the token and name of a resource, a property of it and the value that it is given. ``kept`` are settings of a whole
    account or project, which stay when the site goes.
    """

    name: str
    fault: str
    drift: tuple[str, str, str, Any]
    kept: frozenset[str] = frozenset()


SITES = (
    Site(
        "aws-eu-central-1",
        "create:25",
        ("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", "store", "blockPublicPolicy", False),
    ),
    Site(
        "gcp-us-west1",
        "create:gcp:container/cluster:Cluster",
        ("gcp:storage/bucket:Bucket", "store", "publicAccessPrevention", "inherited"),
        frozenset({"gcp:projects/iAMAuditConfig:IAMAuditConfig", "gcp:orgpolicy/policy:Policy"}),
    ),
    Site(
        "azure-westeurope",
        "unready:azure-native:containerservice:ManagedCluster",
        ("azure-native:storage:StorageAccount", "store", "allowSharedKeyAccess", True),
        frozenset({"azure-native:security:Pricing"}),
    ),
)


@dataclass(frozen=True)
class Built:
    """A stack and the cloud that it is in."""

    stack: Stack
    cloud: Store

    def there(self) -> set[tuple[str, str]]:
        """What there is in the cloud."""
        return {each.label for each in self.cloud.all()}

    def assert_nothing_forgotten(self) -> None:
        """The state knows everything that is in the cloud, and nothing else."""
        assert self.stack.made() == self.there()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("site", SITES, ids=[each.name for each in SITES])
def test_the_life_of_a_site(site: Site, tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    built = Built(engine.add_stack(site.name), Store(engine.store))
    planned = _previews(built, site)
    _is_built_over_a_fault_and_an_interruption(built, site, planned)
    _is_clean_twice(built)
    _hides_what_is_secret(built)
    _tells_the_contract(built)
    _finds_and_mends_drift(built, site)
    _takes_a_change(built)
    _refuses_to_replace_what_is_protected(built)
    _refuses_to_destroy_what_is_protected(built)
    _goes_when_it_is_told_twice(built, site)


def _previews(built: Built, site: Site) -> int:
    shown = built.stack.preview()
    assert shown.code == 0, shown.text
    assert not built.there()
    golden = json.loads((ROOT / "tests/unit/infra/goldens" / f"{site.name}.json").read_text())
    # The stack itself is a resource of the engine's.
    assert shown.changes == {"create": len(golden) + 1}
    return sum(not each["resource"].startswith(("lorafleet:", "pulumi:")) for each in golden)


def _is_built_over_a_fault_and_an_interruption(built: Built, site: Site, planned: int) -> None:
    failed = built.stack.up(**{FAIL: site.fault})
    assert failed.code != 0
    assert "injected" in failed.text
    before = built.there()
    assert 0 < len(before) < planned
    built.assert_nothing_forgotten()

    interrupted = built.stack.interrupted_up(lambda: len(built.there()) > len(before), **{DELAY: "0.4"})
    assert interrupted.code != 0, interrupted.text
    # What was being made side by side when Ctrl-C came is finished: where little was left, that may be all of it.
    assert len(before) < len(built.there()) <= planned
    built.assert_nothing_forgotten()

    resumed = built.stack.up()
    assert resumed.code == 0, resumed.text
    built.assert_nothing_forgotten()
    assert len(built.there()) == planned


def _is_clean_twice(built: Built) -> None:
    for again in (built.stack.up(), built.stack.preview(*POLICIES)):
        assert (again.code, again.changes) == (0, {}), again.text
    assert "✅ lorafleet@" in again.text


def _hides_what_is_secret(built: Built) -> None:
    forms = (SECRET, base64.b64encode(SECRET.encode()).decode().rstrip("=")[:-1])
    for path in (built.stack.engine.folder / "backend").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(form.encode() in content for form in forms), path


def _tells_the_contract(built: Built) -> None:
    told = CloudOutputs.model_validate(built.stack.outputs()[EXPORT])
    assert told.name == built.stack.name
    configured = yaml.safe_load(built.stack.file.read_text())["config"]["lorafleet:site"]
    assert [pool.name for pool in told.gpu_pools] == [pool["name"] for pool in configured["pools"]]


def _finds_and_mends_drift(built: Built, site: Site) -> None:
    token, name, key, value = site.drift
    before = built.cloud.one(token, name).outputs[key]
    assert before != value
    built.cloud.change_by_hand(token, name, lambda outputs: outputs.update({key: value}))
    found = built.stack.refresh()
    assert (found.code, found.changes) == (0, {"update": 1}), found.text
    mended = built.stack.up()
    assert (mended.code, mended.changes) == (0, {"update": 1}), mended.text
    assert built.cloud.one(token, name).outputs[key] == before


def _takes_a_change(built: Built) -> None:
    pools = yaml.safe_load(built.stack.file.read_text())["config"]["lorafleet:site"]["pools"]
    before = {each.label: each for each in built.cloud.all()}
    built.stack.change_config(pools=[{**pools[0], "max": pools[0]["max"] + 1}, *pools[1:]])
    changed = built.stack.up()
    assert (changed.code, changed.changes.get("update")) == (0, 1), changed.text
    after = {each.label: each for each in built.cloud.all()}
    assert before.keys() == after.keys()
    assert [each.name for label, each in after.items() if each != before[label]] == [pools[0]["name"]]


def _refuses_to_replace_what_is_protected(built: Built) -> None:
    text, before = built.stack.file.read_text(), built.there()
    built.stack.change_config(organization="another")
    # As a person runs it: what the preview finds impossible is never begun.
    refused = built.stack.run("up", "--yes", "--stack", built.stack.name)
    assert refused.code != 0
    assert "protect" in refused.text
    assert built.there() == before
    built.stack.file.write_text(text)


def _refuses_to_destroy_what_is_protected(built: Built) -> None:
    before = built.there()
    refused = built.stack.destroy()
    assert refused.code != 0
    assert "protected" in refused.text
    assert built.there() == before


def _goes_when_it_is_told_twice(built: Built, site: Site) -> None:
    built.stack.change_config(protect=False)
    opened = built.stack.up()
    assert opened.code == 0, opened.text
    gone = built.stack.destroy()
    assert gone.code == 0, gone.text
    assert not built.stack.made()
    assert {token for token, _ in built.there()} == site.kept


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    return Engine(tmp_path_factory.mktemp("wrong")).add_stack("aws-eu-central-1")


def test_a_program_that_breaks_the_rules_is_blocked(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    program = engine.project / "infra"
    program.unlink()
    program.mkdir()
    (program / "__main__.py").write_text(
        "import pulumi\n"
        "import pulumi_gcp as gcp\n"
        'cloud = gcp.Provider("gcp", project="example-project", region="us-west1")\n'
        'gcp.storage.Bucket("open", name="open", location="EU", opts=pulumi.ResourceOptions(provider=cloud))\n'
    )
    refused = engine.add_stack("bad", {}).run("up", "--yes", "--stack", "bad", *POLICIES)
    assert refused.code != 0
    assert "[mandatory]  POL123  (gcp:storage/bucket:Bucket: open)" in refused.text
    assert not list(Store(engine.store).all())


def _without(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda config: config.pop(key)


def _with(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda config: config.update(changes)


WRONG: Mapping[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "a region that nobody has": (_with(region="eu-central-9"), "region 'eu-central-9' is not in the catalogue of aws"),
    "a bad address range": (_with(network={"cidr": "10.40.0.0/33"}), "network.cidr: '10.40.0.0/33' is no IPv4 range"),
    "a missing key": (_without("budget"), "budget"),
    "a GPU that is not offered": (
        _with(pools=[{"name": "h100", "machine": "p5.4xlarge", "max": 1, "driver": "580"}]),
        "p5.4xlarge",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_configuration_is_one_line_before_anything_is_made(wrong: Stack, case: str) -> None:
    change, said = WRONG[case]
    whole = yaml.safe_load((ROOT / wrong.file.name).read_text())
    change(whole["config"]["lorafleet:site"])
    wrong.file.write_text(yaml.safe_dump(whole))
    shown = wrong.preview()
    assert shown.code != 0
    diagnostics = shown.text.partition("Diagnostics:")[2]
    lines = [line.strip() for line in diagnostics.splitlines() if wrong.file.name in line]
    assert len(lines) == 1, shown.text
    assert said in lines[0]
    assert "Traceback" not in shown.text
    assert shown.changes.get("create", 0) <= 1, "the stack itself at most"
    assert not wrong.engine.store.exists()
