"""What is wrong with an in-cluster stack is one clear line, before the first resource."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from recorded_incluster import KINDS, changed_incluster, cloud_outputs, incluster
from recorded_program import ROOT, Recording, run

from infra import programs
from infra.incluster.config import KEY, is_incluster, site_of
from infra.incluster.secrets import ENROLMENT, SPECS
from infra.incluster.stack_file import load_incluster
from infra.incluster.validators import RULES, findings
from infra.stack_file import stack_file
from lorafleet.contracts.problems import ConfigError

ZERO = "sha256:" + "0" * 64
PEM = "-----BEGIN CERTIFICATE-----\nPLACEHOLDER\n-----END CERTIFICATE-----\n"
KUBECONFIG = {
    "clusters": [
        {"name": "mine", "cluster": {"server": "https://192.0.2.1:6443/", "certificate-authority-data": "UExBQ0VIT0xERVI="}}
    ],
    "contexts": [{"name": "home", "context": {"cluster": "mine", "user": "me"}}],
    "users": [{"name": "me", "user": {"client-key-data": "AAAA"}}],
}


def local(**changes: Any) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(incluster("local").model_dump_json(exclude_none=True))["local"]
    return {"local": {**value, **changes}}


@pytest.mark.parametrize(
    ("kind", "changes", "code"),
    [
        ("local", {"cloud_stack": "me/lorafleet/x"}, "INF202"),
        ("local", local(gpu_pools=[{"gpu": "RTX 4091", "driver": "1", "gpus": 1}]), "INF211"),
        ("local", local(shared={"gib": 5}), "INF212"),
        ("local", local(shared={"host_path": "/srv", "storage_class": "nfs"}), "INF212"),
        ("local", local(registry="Fleet Registry"), "INF213"),
        ("local", local(registry="fleet"), "INF213"),
        ("local", local(namespace="keda"), "INF214"),
        ("local", local(namespace="kube-system"), "INF214"),
        ("azure", {"images": {"digests": {"prometeus": ZERO}}}, "INF241"),
        ("azure", {"images": {"registry": "mirror"}}, "INF242"),
        ("gcp", {"console_digest": None}, "INF243"),
        ("gcp", {"backup": {}}, "INF251"),
        ("gcp", {"backup": {"url": "s3://b/x", "serve": {"authority": PEM}}}, "INF251"),
        ("gcp", {"backup": {"url": "s3://b/x", "settings": {"secret_access_key": "x"}}}, "INF252"),
        ("gcp", {"backup": {"url": "s3://b/x", "source_settings": {"sas": "x"}}}, "INF252"),
        ("local", {"backup": {"url": "s3://b/x", "source_settings": {"endpoint": "https://s3.example.org:9000"}}}, "INF254"),
        ("local", {"backup": {"url": "s3://b/x", "source_settings": {"endpoint": "http://s3.example.org"}}}, "INF254"),
        ("azure", {"prometheus": {}}, "INF261"),
        ("azure", {"dns_ranges": ["10.0.0.0/33"]}, "INF271"),
        ("azure", {"keda": {"namespace": "kube-system"}}, "INF281"),
    ],
)
def test_a_broken_rule_has_its_code(kind: str, changes: dict[str, Any], code: str) -> None:
    config = changed_incluster(kind, **changes)
    found = findings(config, f"{KINDS[kind]}-incluster", [])
    assert [each.code for each in found if each.code[:4] != "INF2" or each.code[:5] != "INF22"] == [code]


def test_the_same_store_is_no_backup() -> None:
    config = changed_incluster("local", backup={"url": "s3://loras-home/fleet"})
    assert "INF253" in [each.code for each in findings(config, "local-incluster", [])]


def test_the_rules_find_nothing_in_the_examples() -> None:
    for kind in KINDS:
        assert [finding for rule in RULES for finding in rule(incluster(kind))] == []


@pytest.mark.parametrize(
    ("present", "given", "codes"),
    [
        (["lorafleet-enrolment"], [], []),
        ([], ["enrolment"], []),
        ([], [], ["INF221"]),
        (["lorafleet-enrolment"], ["enrolment"], ["INF222"]),
        (["lorafleet-enrolment", "console-secret"], [], ["INF223"]),
        ([], ["enrolment", "consoleSecret"], ["INF224"]),
    ],
)
def test_each_secret_has_one_source(present: list[str], given: list[str], codes: list[str]) -> None:
    config = changed_incluster("azure", present_secrets=present)
    assert [each.code for each in findings(config, "azure-westeurope-incluster", given)] == codes


@pytest.mark.parametrize("stack", ["-incluster", "Home-incluster", "a_b-incluster"])
def test_a_stack_is_named_after_a_site(stack: str) -> None:
    assert [each.code for each in findings(incluster("azure"), stack, [])] == ["INF201"]


def test_stacks_are_told_apart_by_their_ending() -> None:
    assert is_incluster("home-incluster")
    assert site_of("home-incluster") == "home"
    assert not is_incluster("home")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lokal": {}}, "unknown key 'lokal' (did you mean 'local'?)"),
        ({"console_digest": "latest"}, "console_digest: "),
        ({"backup": {"url": "https://host/x"}}, "backup.url: "),
        ({"backup": {"url": "s3://b/x", "schedule": "hourly"}}, "backup.schedule: "),
        ({"keda": {"version": "2"}}, "keda.version: "),
        ({"api_ports": []}, "api_ports: "),
        ({"prometheus": {"console": "https://fleet.example.org:port"}}, "prometheus.console: "),
        ({"prometheus": {"alertmanager": "https://alerts.example.org"}}, "prometheus.alertmanager: "),
        ({"prometheus": {"alertmanager": "alerts.example.org"}}, "prometheus.alertmanager: "),
        ({"room": {"cpu": "many"}}, "room.cpu: "),
        ({"prometheus": {"conditions": ["errorRate > 5"]}}, "prometheus.conditions.0: "),
    ],
)
def test_a_wrong_key_is_one_line_with_its_place(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    value = json.loads(incluster("azure").model_dump_json(exclude_none=True))
    path = tmp_path / "Pulumi.site-incluster.yaml"
    path.write_text(yaml.safe_dump({"config": {KEY: {**value, **changes}}}), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_incluster(path)
    (line,) = str(caught.value).splitlines()
    assert line.startswith("Pulumi.site-incluster.yaml")
    assert said in line


def test_a_broken_rule_names_the_line_of_the_file(tmp_path: Path) -> None:
    text = stack_file(ROOT, "local-incluster").read_text(encoding="utf-8").replace("RTX 4090", "RTX 4091")
    path = tmp_path / "Pulumi.local-incluster.yaml"
    path.write_text(text, encoding="utf-8")
    number = 1 + next(number for number, line in enumerate(text.splitlines()) if "RTX 4091" in line)
    with pytest.raises(ConfigError) as caught:
        load_incluster(path)
    assert (
        str(caught.value)
        == f"Pulumi.local-incluster.yaml:{number}: 'RTX 4091' is no GPU of the table [INF211] (did you mean 'RTX 4090'?)"
    )


def test_encrypted_values_of_the_file_count_as_given(tmp_path: Path) -> None:
    value = json.loads(changed_incluster("azure", present_secrets=[]).model_dump_json(exclude_none=True))
    path = tmp_path / "Pulumi.site-incluster.yaml"
    path.write_text(yaml.safe_dump({"config": {KEY: value}}), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"lorafleet-enrolment.*INF221.*pulumi config set --secret lorafleet:enrolment"):
        load_incluster(path)
    path.write_text(yaml.safe_dump({"config": {KEY: value, "lorafleet:enrolment": {"secure": "v1:abc:def"}}}), encoding="utf-8")
    assert load_incluster(path).present_secrets == ()


@pytest.fixture(name="configured")
def _configured() -> Iterator[Any]:
    def configured(value: Mapping[str, Any] | None, **secrets: str) -> None:
        plain = {} if value is None else {KEY: json.dumps(value)}
        hidden = {f"lorafleet:{key}": text for key, text in secrets.items()}
        pulumi.runtime.set_all_config({**plain, **hidden}, list(hidden))

    yield configured
    pulumi.runtime.set_all_config({})


def stack_of(kind: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(incluster(kind).model_dump_json(exclude_none=True))
    return value


def run_cloud(outputs: dict[str, Any]) -> Recording:
    stacks = {"organization/lorafleet/azure-westeurope": outputs}
    return run(programs.run, "azure-westeurope-incluster", stacks=stacks)


def test_a_cloud_site_is_told_by_its_cloud_stack(configured: Any) -> None:
    configured(stack_of("azure"))
    recording = run_cloud({"cloud": cloud_outputs("azure").model_dump(mode="json")})
    assert recording.outputs["site"]["name"] == "azure-westeurope"
    kubeconfig = json.loads(recording.one("pulumi:providers:kubernetes").inputs["kubeconfig"])
    assert kubeconfig["users"][0]["user"]["exec"]["command"] == "kubelogin"


@pytest.mark.parametrize(
    ("outputs", "code"),
    [
        ({}, "INF205"),
        ({"cloud": {"name": "azure-westeurope"}}, "INF206"),
        ({"cloud": cloud_outputs("gcp").model_dump(mode="json")}, "INF207"),
    ],
)
def test_a_cloud_stack_that_does_not_tell_is_one_line(configured: Any, outputs: dict[str, Any], code: str) -> None:
    configured(stack_of("azure"))
    with pytest.raises(pulumi.RunError) as caught:
        run_cloud(outputs)
    (line,) = str(caught.value).splitlines()
    assert code in line
    assert "azure-westeurope" in line


def test_a_local_site_needs_a_kubeconfig_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configured: Any) -> None:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(KUBECONFIG), encoding="utf-8")
    monkeypatch.setenv("KUBECONFIG", str(path))
    configured(stack_of("local"))
    recording = run(programs.run, "local-incluster")
    site = recording.outputs["site"]
    assert site["cluster"]["endpoint"] == "https://192.0.2.1:6443"
    assert site["cluster"]["ca"] == "UExBQ0VIT0xERVI="
    provider = recording.one("pulumi:providers:kubernetes").inputs
    assert provider["context"] == "home"
    # Keys may stand in it: the state gets its path.
    assert provider["kubeconfig"] == str(path)


@pytest.mark.parametrize(
    ("kubeconfig", "code"),
    [
        (None, "INF231"),
        ("{", "INF231"),
        ("[]", "INF232"),
        (yaml.safe_dump({**KUBECONFIG, "contexts": []}), "INF232"),
        (yaml.safe_dump({**KUBECONFIG, "clusters": []}), "INF233"),
        (yaml.safe_dump({**KUBECONFIG, "clusters": [{"name": "mine", "cluster": {"server": "http://192.0.2.1"}}]}), "INF233"),
    ],
)
def test_a_kubeconfig_that_does_not_tell_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configured: Any, kubeconfig: str | None, code: str
) -> None:
    path = tmp_path / "config"
    if kubeconfig is not None:
        path.write_text(kubeconfig, encoding="utf-8")
    monkeypatch.setenv("KUBECONFIG", str(path))
    configured(stack_of("local"))
    with pytest.raises(pulumi.RunError) as caught:
        run(programs.run, "local-incluster")
    (line,) = str(caught.value).splitlines()
    assert line.startswith(str(path))
    assert code in line


def test_the_program_stops_before_the_first_resource(configured: Any) -> None:
    configured(None)
    with pytest.raises(pulumi.RunError, match=f"key '{KEY}' is missing"):
        run(programs.run, "azure-westeurope-incluster")
    configured({**stack_of("azure"), "present_secrets": []})
    with pytest.raises(pulumi.RunError, match="INF221"):
        run(programs.run, "azure-westeurope-incluster")


def test_a_secret_of_the_configuration_reaches_the_cluster(configured: Any) -> None:
    configured({**stack_of("azure"), "present_secrets": []}, enrolment="credential text")
    recording = run_cloud({"cloud": cloud_outputs("azure").model_dump(mode="json")})
    made = recording.one("core/v1:Secret").inputs
    assert made["metadata"]["name"] == ENROLMENT.name
    assert made["stringData"]["value"] == {"credential": "credential text"}


def test_a_site_that_the_console_should_know_has_a_file(configured: Any) -> None:
    value = stack_of("aws")
    configured({**value, "console": {**value["console"], "sites": ["nowhere"]}})
    with pytest.raises(pulumi.RunError, match=r"^sites/nowhere\.json: cannot be read"):
        run(programs.run, "aws-eu-central-1-incluster")


def test_the_console_knows_the_other_sites(configured: Any) -> None:
    configured(stack_of("aws"))
    stacks = {"organization/lorafleet/aws-eu-central-1": {"cloud": cloud_outputs("aws").model_dump(mode="json")}}
    recording = run(programs.run, "aws-eu-central-1-incluster", stacks=stacks)
    known = recording.one("core/v1:ConfigMap", "console").inputs["data"]
    assert set(known) == {"aws-eu-central-1.json", "gcp-us-west1.json", "azure-westeurope.json"}


def test_secrets_are_told_apart() -> None:
    assert len({spec.name for spec in SPECS}) == len({spec.config for spec in SPECS}) == len(SPECS)
