"""`site check`: stack files and sites' files, alone and against each other."""

import json
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from recorded_program import ROOT, SITES, recorded

from infra.config import Network
from infra.contract import CloudOutputs
from infra.incluster import naming
from infra.incluster.facts import from_cloud
from infra.sites.checking import Checked, between, check_sites, without_stack
from infra.sites.facts import differences, facts_text, read_facts, write_facts
from infra.sites.stacks import find_site, find_sites, project_root
from lorafleet.contracts.problems import ConfigError, NoInputError
from lorafleet.contracts.site import Site

ALL = sorted([*SITES.values(), "local"])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The repository's stack files and sites, to spoil."""
    for path in ROOT.glob("Pulumi*.yaml"):
        shutil.copy(path, tmp_path)
    shutil.copytree(ROOT / "sites", tmp_path / "sites")
    return tmp_path


def problems(project: Path) -> list[str]:
    sites = find_sites(project)
    checked = check_sites(project, sites)
    found = [problem for site in checked for problem in site.problems]
    return [str(problem) for problem in (*found, *between(checked), *without_stack(project, sites))]


def spoil(project: Path, stack: str, **changes: Any) -> None:
    path = project / f"Pulumi.{stack}.yaml"
    whole = yaml.safe_load(path.read_text())
    whole["config"]["lorafleet:site"].update(changes)
    path.write_text(yaml.safe_dump(whole))


def spoil_facts(project: Path, site: str, **changes: Any) -> None:
    path = project / "sites" / f"{site}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_the_repositorys_own_sites_are_right() -> None:
    assert problems(ROOT) == []
    assert [site.name for site in find_sites(ROOT)] == ALL


@pytest.mark.parametrize(
    ("cloud", "invented"),
    [(cloud, {"cluster": {"endpoint", "ca", "identifier"}, "shared_volume": {"handle"}}) for cloud in SITES],
    ids=list(SITES),
)
def test_the_repositorys_sites_are_what_the_stacks_export(cloud: str, invented: dict[str, set[str]]) -> None:
    outputs = CloudOutputs.model_validate(recorded(cloud).outputs["cloud"])
    exported = from_cloud(outputs, naming.PROMETHEUS_URL).site
    written = read_facts(ROOT / "sites" / f"{SITES[cloud]}.json")
    exclude: Any = invented
    assert written.model_dump(exclude=exclude) == exported.model_dump(exclude=exclude)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"region": "us-west1"}, "region is 'us-west1', and the stack file says 'eu-central-1'"),
        ({"namespace": "other"}, "namespace is 'other', and the stack file says 'lora'"),
        ({"gpu_pools": [{"type": "L4", "driver": "1.2", "max": 8}]}, "gpu_pools is 8 L4 with driver 1.2"),
        ({"gpu_pools": [{"type": "L4", "driver": "580.95.05", "max": 7}]}, "the stack file says 8 L4 with driver 580.95.05"),
        ({"gpu_pools": []}, "gpu_pools is none"),
        ({"cloud": "gcp"}, "cloud is 'gcp'"),
    ],
    ids=["region", "namespace", "driver", "max", "no-pools", "cloud"],
)
def test_a_site_that_no_longer_matches_its_stack_file(project: Path, changes: dict[str, Any], said: str) -> None:
    spoil_facts(project, "aws-eu-central-1", **changes)
    [problem] = problems(project)
    assert said in problem
    assert problem.startswith("sites/aws-eu-central-1.json: ")
    assert "lorafleet site export aws-eu-central-1" in problem


def test_ranges_that_overlap(project: Path) -> None:
    spoil(project, "gcp-us-west1", network={"cidr": "10.40.0.0/17"})
    [problem] = problems(project)
    assert problem.startswith("Pulumi.gcp-us-west1.yaml: network.cidr: 10.40.0.0/17 overlaps 10.40.0.0/16 of aws-eu-central-1")


@cache
def right() -> Checked:
    return check_sites(ROOT, [find_site(ROOT, "aws-eu-central-1")])[0]


@given(st.integers(0, 255), st.integers(0, 255))
def test_ranges_overlap_where_they_share_an_address(first: int, second: int) -> None:
    sites = []
    for number in (first, second):
        assert right().cloud is not None
        config = right().cloud.model_copy(update={"network": Network(cidr=f"10.{number}.0.0/16")})  # type: ignore[union-attr]
        sites.append(replace(right(), cloud=config))
    assert bool(list(between(sites))) == (first == second)


def test_each_wrong_file_is_said_with_its_line_and_hides_no_other(project: Path) -> None:
    spoil(project, "aws-eu-central-1", region="mars-1")
    (project / "Pulumi.gcp-us-west1.yaml").write_text("config: [")
    spoil_facts(project, "local", kubeconfig="x")
    found = problems(project)
    assert any("mars-1" in problem and problem.startswith("Pulumi.aws-eu-central-1.yaml:") for problem in found)
    assert any(problem.startswith("Pulumi.gcp-us-west1.yaml:") and "not YAML" in problem for problem in found)
    assert any(problem.startswith("sites/local.json") for problem in found)


def test_a_stack_without_its_other_half(project: Path) -> None:
    (project / "Pulumi.aws-eu-central-1-incluster.yaml").unlink()
    (project / "Pulumi.gcp-us-west1.yaml").unlink()
    found = problems(project)
    assert any("there is no Pulumi.aws-eu-central-1-incluster.yaml" in problem for problem in found)
    assert any("neither a cloud stack of this site nor 'local'" in problem for problem in found)


def test_a_site_that_the_console_should_know_and_that_was_never_exported(project: Path) -> None:
    (project / "sites" / "gcp-us-west1.json").unlink()
    (problem,) = [each for each in problems(project) if "console.sites" in each]
    assert problem.startswith("Pulumi.aws-eu-central-1-incluster.yaml: console.sites: there is no sites/gcp-us-west1.json")


def test_a_site_without_a_stack(project: Path) -> None:
    for path in project.glob("Pulumi.local*"):
        path.unlink()
    assert problems(project) == ["sites/local.json: there is no stack file of this site (delete it, or bring its stack files back)"]


def test_a_site_under_another_name(project: Path) -> None:
    spoil_facts(project, "local", name="elsewhere")
    assert any("this file is of site 'elsewhere'" in problem for problem in problems(project))


def test_a_name_that_is_nearly_right(project: Path) -> None:
    with pytest.raises(NoInputError, match="did you mean 'aws-eu-central-1'"):
        find_site(project, "aws-eu-central-2")
    with pytest.raises(NoInputError, match="sites: none"):
        find_site(project / "sites", "x")


def test_the_project_is_found_from_below(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert project_root(project / "sites") == project.resolve()
    with pytest.raises(NoInputError, match=r"no Pulumi\.yaml"):
        project_root(tmp_path_factory.mktemp("elsewhere"))


def test_facts_are_written_whole_and_read_back(tmp_path: Path) -> None:
    site = read_facts(ROOT / "sites" / "aws-eu-central-1.json")
    path = tmp_path / "new" / "aws-eu-central-1.json"
    write_facts(path, site)
    assert read_facts(path) == site
    assert path.read_text() == facts_text(site)
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_differences_are_named() -> None:
    site = read_facts(ROOT / "sites" / "local.json")
    other = Site.model_validate({**site.model_dump(mode="json"), "region": "away", "prometheus": None})
    assert [str(each).split(" is ")[0] for each in differences(site, other)] == [
        "sites/local.json: region",
        "sites/local.json: prometheus",
    ]
    assert list(differences(site, site)) == []


def test_a_file_that_is_not_there_says_how_it_comes(tmp_path: Path) -> None:
    with pytest.raises(NoInputError, match="lorafleet site export x writes it"):
        read_facts(tmp_path / "x.json")
    (tmp_path / "y.json").write_text("{")
    with pytest.raises(ConfigError):
        read_facts(tmp_path / "y.json")
