"""Reading a stack's configuration: keys, types, places; and the run that stops before the first resource."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from recorded_program import ROOT, SITES, example, run

from infra import programs
from infra.config import KEY
from infra.stack_file import load, stack_file
from lorafleet.contracts.problems import ConfigError, NoInputError


def written(tmp_path: Path, example_of: str, /, **changes: Any) -> Path:
    value = json.loads(example(example_of).model_dump_json(exclude_none=True))
    path = tmp_path / "Pulumi.site.yaml"
    site = {key: each for key, each in {**value, **changes}.items() if each is not None}
    path.write_text(yaml.safe_dump({"config": {KEY: site}}), encoding="utf-8")
    return path


@pytest.mark.parametrize("cloud", SITES)
def test_a_written_configuration_is_read_back(tmp_path: Path, cloud: str) -> None:
    assert load(written(tmp_path, cloud)) == example(cloud)


@pytest.mark.parametrize(
    ("cloud", "changes", "said"),
    [
        ("aws", {"account": None}, "key 'account' is missing (add it)"),
        ("aws", {"acount": "1"}, "unknown key 'acount' (did you mean 'account'?)"),
        ("aws", {"account": "12345"}, "account: "),
        ("aws", {"operators": []}, "operators: "),
        ("aws", {"spinnaker": {"principal": "*"}}, "spinnaker.principal: "),
        ("aws", {"budget": {"monthly_usd": 0, "emails": ["a@example.org"]}}, "budget.monthly_usd: "),
        ("aws", {"budget": {"monthly_usd": 5, "emails": ["nobody"]}}, "budget.emails.0: "),
        ("gcp", {"spinnaker": {"principal": "allUsers"}}, "spinnaker.principal: "),
        ("azure", {"subscription": "mine"}, "subscription: "),
        ("azure", {"pools": []}, "pools: "),
        ("aws", {"cloud": "aliyun"}, "cloud: 'aliyun' is none of aws, gcp, azure"),
    ],
)
def test_a_wrong_key_is_one_line_with_its_place(tmp_path: Path, cloud: str, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, cloud, **changes))
    (line,) = str(caught.value).splitlines()
    assert line.startswith("Pulumi.site.yaml")
    assert said in line


def test_the_place_is_the_line_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.site.yaml"
    path.write_text(stack_file(ROOT, SITES["aws"]).read_text().replace("max: 6", "max: six"), encoding="utf-8")
    number = 1 + path.read_text().splitlines().index(
        '      - {name: l4-spot, machine: g6.xlarge, capacity: spot, max: six, driver: "580.95.05"}'
    )
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value).startswith(f"Pulumi.site.yaml:{number}: pools.0.max: ")


def test_a_broken_rule_names_the_line_too(tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.site.yaml"
    text = stack_file(ROOT, SITES["aws"]).read_text().replace("cidr: 10.40.0.0/16 ", "cidr: 10.40.0.1/16 ")
    text = text.replace("capacity: spot,", "capacity: spot, reservation: cr-1,")
    path.write_text(text, encoding="utf-8")
    lines = text.splitlines()
    cidr = 1 + next(number for number, line in enumerate(lines) if "cidr:" in line)
    pool = 1 + next(number for number, line in enumerate(lines) if "cr-1," in line)
    with pytest.raises(ConfigError) as caught:
        load(path)
    said = str(caught.value).splitlines()
    assert [line.partition(": ")[0] for line in said] == [f"Pulumi.site.yaml:{cidr}", f"Pulumi.site.yaml:{pool}"]
    assert [code for line in said for code in ("INF111", "INF153") if code in line] == ["INF111", "INF153"]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NoInputError, match="cannot be read"):
        load(tmp_path / "Pulumi.none.yaml")


def test_a_stack_without_a_site(tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.site.yaml"
    path.write_text("config: {}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="key 'lorafleet:site' is missing"):
        load(path)


@pytest.mark.parametrize(
    ("value", "said"), [(None, "key 'lorafleet:site' is missing"), ({"network": {"cidr": "10.40.0.0/30"}}, "INF113")]
)
def test_the_program_stops_before_the_first_resource(value: dict[str, Any] | None, said: str) -> None:
    site = json.loads(example("aws").model_dump_json(exclude_none=True))
    settings = {} if value is None else {KEY: json.dumps({**site, **value})}
    pulumi.runtime.set_all_config(settings)
    try:
        with pytest.raises(pulumi.RunError) as caught:
            run(programs.run, "site")
    finally:
        pulumi.runtime.set_all_config({})
    assert said in str(caught.value)
    assert str(caught.value).startswith("Pulumi.site.yaml: ")


def test_the_program_runs_what_the_stack_says() -> None:
    pulumi.runtime.set_all_config({KEY: example("aws").model_dump_json(exclude_none=True)})
    try:
        recording = run(programs.run, SITES["aws"])
    finally:
        pulumi.runtime.set_all_config({})
    assert recording.outputs["cloud"]["name"] == SITES["aws"]
    assert recording.one("eks/cluster:Cluster").protect


def test_default_providers_are_disabled_for_every_stack() -> None:
    project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text(encoding="utf-8"))
    assert project["config"]["pulumi:disable-default-providers"] == {"value": ["*"]}
    assert (ROOT / project["main"] / "__main__.py").is_file()


def test_configuration_is_checked_without_any_sdk() -> None:
    wanted = "infra.stack_file, infra.contract, infra.catalog, infra.incluster.stack_file, infra.incluster.facts"
    script = f"import sys, {wanted}; print([m for m in sys.modules if m.startswith('pulumi')])"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("cloud", SITES)
def test_a_program_imports_its_own_clouds_sdk_only(cloud: str) -> None:
    sdks = {"pulumi_aws", "pulumi_gcp", "pulumi_azure_native"}
    script = f"import sys, infra.programs.{cloud}; print(sorted({sdks} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert answer.stdout.strip() == f"['pulumi_{'azure_native' if cloud == 'azure' else cloud}']"
