"""``lorafleet site`` where no engine is needed, as a person types it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from recorded_program import ROOT

from lorafleet.cli import main


@pytest.fixture(autouse=True)
def without_pulumi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(ROOT)


def test_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["site", "check"]) == 0
    assert capsys.readouterr().out == "aws-eu-central-1, azure-westeurope, gcp-us-west1, local: nothing wrong\n"
    assert main(["site", "check", "local", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"sites": ["local"], "problems": []}
    assert main(["site", "check", "lokal"]) == 66
    assert "did you mean 'local'?" in capsys.readouterr().err


def test_check_of_something_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "Pulumi.yaml").touch()
    (tmp_path / "Pulumi.mars.yaml").write_text("config: {'lorafleet:site': {cloud: aws, region: mars-1}}")
    assert main(["site", "check", "--project", str(tmp_path)]) == 78
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 3
    assert all(line.startswith("error: Pulumi.mars.yaml") for line in lines)
    assert main(["site", "check", "--project", str(tmp_path), "--json"]) == 78
    assert len(json.loads(capsys.readouterr().out)["problems"]) == len(lines)


def test_list_without_a_backend(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["site", "list", "--json"]) == 0
    rows = {row["site"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["aws-eu-central-1"]["pools"] == ["l4-spot: 6 × g6.xlarge, spot", "l4: 2 × g6.xlarge, on-demand"]
    assert rows["aws-eu-central-1"]["stacks"] == {"aws-eu-central-1": "not asked", "aws-eu-central-1-incluster": "not asked"}
    assert rows["local"]["stacks"] == {"local-incluster": "not asked"}
    assert main(["site", "list"]) == 0
    shown = capsys.readouterr()
    assert "europe" in shown.out
    assert "'pulumi' is not there" in shown.err


def test_cost(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["site", "cost", "aws-eu-central-1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["idle"] < told["peak"]
    assert {line["what"] for line in told["lines"]} >= {"control plane", "pool l4: g6.xlarge", "object store"}
    assert main(["site", "cost", "aws-eu-central-1"]) == 0
    shown = capsys.readouterr().out
    assert f"{told['peak']:,.2f}" in shown
    assert "price unknown: load balancer" in shown


def test_spinnaker_account(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["site", "spinnaker-account", "local"]) == 0
    assert "tokenFile" in capsys.readouterr().out
    # The role's name is the cloud stack's to tell, and nobody is there to ask.
    assert main(["site", "spinnaker-account", "aws-eu-central-1"]) == 69
    assert "'pulumi' is not there" in capsys.readouterr().err
    assert main(["site", "spinnaker-account", "aws-eu-central-1", "--identity", "arn:aws:iam::123456789012:role/s"]) == 0
    assert "arn:aws:iam::123456789012:role/s" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("site", "given", "said"),
    [
        ("aws-eu-central-1", "spinnaker", "--identity: 'spinnaker' is no role's ARN"),
        ("azure-westeurope", "spinnaker", "--identity: 'spinnaker' is no client id"),
        ("local", "spinnaker", "--identity: the account of a local site needs none"),
    ],
)
def test_an_identity_that_cannot_be_one(site: str, given: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["site", "spinnaker-account", site, "--identity", given]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert not told.out


@pytest.mark.parametrize("verb", ["preview", "drift"])
def test_wrong_usage_is_no_change(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["site", verb]) == 1
    assert f"see 'lorafleet site {verb} --help'" in capsys.readouterr().err


def test_the_login_of_a_cloud_is_looked_for_before_the_engine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["site", "preview", "gcp-us-west1"]) == 69
    assert "the command 'gke-gcloud-auth-plugin', which logs in to the site's cluster, is not there" in capsys.readouterr().err


def test_help_imports_nothing_large() -> None:
    code = "import sys; from lorafleet.cli import main; main(['site', '--help']); print('pulumi' in sys.modules, 'rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False False"
