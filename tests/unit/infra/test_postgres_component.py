"""The home's PostgreSQL and its standby under mocks: every input that the SDK takes, and what keeps data and passwords safe."""

import functools
import json
from typing import Any

import pytest
from policy_runs import findings, resources_of
from postgres_program import EXPOSED, FOLLOWS, HOME, STANDBY, configured, program
from pydantic import ValidationError
from recorded_program import Recording
from sdk_schema import faults

from infra.incluster.postgres_config import PostgresConfig
from infra.policy.rule import Stack
from infra.policy.rules import RULES
from lorafleet.contracts.site import Cloud

CONFIGS = {"home": HOME, "exposed-home": {**HOME, "exposed": EXPOSED}, "standby": STANDBY}


@functools.cache
def recorded(which: str) -> Recording:
    return program(configured(CONFIGS[which]))


def pod(recording: Recording) -> dict[str, Any]:
    spec: dict[str, Any] = recording.one(":StatefulSet").inputs["spec"]["template"]["spec"]
    return spec


def container(recording: Recording, name: str) -> dict[str, Any]:
    return next(each for each in pod(recording)["containers"] if each["name"] == name)


def environment(of: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in of["env"]}


@pytest.mark.parametrize("which", CONFIGS)
def test_the_sdk_takes_every_input(which: str) -> None:
    found = {each.label: faults(each.type, each.inputs) for each in recorded(which).resources if each.custom}
    assert {label: wrong for label, wrong in found.items() if wrong} == {}
    assert len(found) > 9


@pytest.mark.parametrize("which", CONFIGS)
def test_it_passes_every_rule(which: str) -> None:
    stack = Stack(resources_of(recorded(which)))
    assert [f"{rule.code} {found}" for rule in RULES for found in findings(rule, stack)] == []


def test_the_volumes_are_protected_and_of_the_encrypted_class() -> None:
    volumes = recorded("home").all(":PersistentVolumeClaim")
    assert {each.name: each.protect for each in volumes} == {"postgres-data": True, "postgres-dumps": True}
    assert recorded("home").one(":Namespace").protect
    (own,) = recorded("home").all(":StorageClass")
    assert {each.inputs["spec"]["storageClassName"] for each in volumes} == {own.inputs["metadata"]["name"]}
    claims = {
        each["name"]: each["persistentVolumeClaim"] for each in pod(recorded("home"))["volumes"] if "persistentVolumeClaim" in each
    }
    assert claims == {"volume": {"claimName": "postgres-data"}}
    assert not [each.label for each in program(configured(HOME), protect=False).resources if each.protect]


@pytest.mark.parametrize("cloud", Cloud)
def test_disks_are_encrypted_and_outlive_their_claim(cloud: Cloud) -> None:
    recording = program(configured(HOME), cloud=cloud)
    volumes = [each.inputs["spec"] for each in recording.all(":PersistentVolumeClaim")]
    if cloud is Cloud.LOCAL:
        assert recording.all(":StorageClass") == []
        assert not any("storageClassName" in each for each in volumes)
        return
    disks = recording.one(":StorageClass").inputs
    assert (disks["reclaimPolicy"], disks["volumeBindingMode"]) == ("Retain", "WaitForFirstConsumer")
    assert disks["parameters"].get("encrypted") == ("true" if cloud is Cloud.AWS else None)


def test_a_class_of_ones_own_is_used() -> None:
    recording = program(configured({**HOME, "storage_class": "fast"}))
    assert recording.all(":StorageClass") == []
    assert {each.inputs["spec"]["storageClassName"] for each in recording.all(":PersistentVolumeClaim")} == {"fast"}


def test_passwords_and_keys_are_secrets_of_the_cluster_alone() -> None:
    for which in CONFIGS:
        assert recorded(which).all(":Secret") == []
    names = {each["name"]: each["secret"]["secretName"] for each in pod(recorded("home"))["volumes"] if "secret" in each}
    assert names == {"tls": "postgres-tls", "secrets": "postgres-passwords"}
    for each in pod(recorded("standby"))["containers"]:
        assert not {"PGPASSWORD", "POSTGRES_PASSWORD"} & set(environment(each))


def test_the_server_is_reached_by_consoles_and_nobody_else() -> None:
    (rule,) = recorded("home").one(":NetworkPolicy", "postgres").inputs["spec"]["ingress"]
    consoles, dumps = rule["from"]
    assert consoles == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "lorafleet-console"}}}
    assert dumps["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "postgres-dump"
    assert rule["ports"] == [{"port": 5432, "protocol": "TCP"}]
    assert [each.inputs["spec"].get("type") for each in recorded("home").all(":Service")] == [None]
    # A home asks nobody for anything, and the namespace denies what no policy allows.
    assert recorded("home").one(":NetworkPolicy", "postgres").inputs["spec"]["policyTypes"] == ["Ingress"]
    assert recorded("home").one(":ResourceQuota").inputs["spec"]["hard"]["services.loadbalancers"] == "0"


def test_the_other_site_comes_in_only_where_asked_and_from_where_named() -> None:
    service = recorded("exposed-home").one(":Service", "postgres-peer").inputs
    assert service["spec"]["type"] == "LoadBalancer"
    assert service["spec"]["loadBalancerSourceRanges"] == ["198.51.100.7/32"]
    assert service["spec"]["externalTrafficPolicy"] == "Local"
    assert recorded("exposed-home").one(":ResourceQuota").inputs["spec"]["hard"]["services.loadbalancers"] == "1"
    assert service["metadata"]["annotations"] == {"example.org/kind": "nlb"}
    (rule,) = recorded("exposed-home").one(":NetworkPolicy", "postgres").inputs["spec"]["ingress"]
    assert rule["from"][-1] == {"ipBlock": {"cidr": "198.51.100.7/32"}}


def test_a_standby_reaches_its_home_and_dns() -> None:
    server = container(recorded("standby"), "postgres")
    assert environment(server)["ROLE"] == "standby"
    assert (environment(server)["HOME_HOST"], environment(server)["HOME_PORT"]) == ("db.example.org", "5432")
    dns, home = recorded("standby").one(":NetworkPolicy", "postgres").inputs["spec"]["egress"]
    assert {(each["port"], each["protocol"]) for each in dns["ports"]} == {(53, "UDP"), (53, "TCP")}
    assert home == {"to": [{"ipBlock": {"cidr": "203.0.113.5/32"}}], "ports": [{"port": 5432, "protocol": "TCP"}]}


def test_the_pod_is_restricted() -> None:
    spec = pod(recorded("home"))
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["automountServiceAccountToken"] is False
    for each in spec["containers"]:
        assert each["securityContext"]["readOnlyRootFilesystem"] is True
        assert each["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert spec["nodeSelector"] == {"lorafleet/pool": "system"}


def test_probes_give_a_copy_time_and_a_stop_is_in_order() -> None:
    server = container(recorded("home"), "postgres")
    startup, liveness = server["startupProbe"], server["livenessProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] == 7200
    assert liveness["exec"]["command"] == ["sh", "/config/alive.sh"]
    assert server["readinessProbe"]["exec"]["command"][0] == "pg_isready"
    assert server["lifecycle"]["preStop"]["exec"]["command"] == ["sh", "/config/stop.sh"]
    assert pod(recorded("home"))["terminationGracePeriodSeconds"] == 120


def test_a_drain_does_not_evict_the_only_server() -> None:
    assert recorded("home").one(":PodDisruptionBudget").inputs["spec"]["minAvailable"] == 1
    assert recorded("home").one(":StatefulSet").inputs["spec"]["replicas"] == 1


def test_changed_scripts_make_a_new_pod() -> None:
    scripts = recorded("home").one(":ConfigMap").inputs
    assert scripts["immutable"] is True
    assert recorded("home").one(":StatefulSet").inputs["metadata"]["annotations"] == {"pulumi.com/skipAwait": "true"}
    # Pulumi names it anew with each content, and the pod names it.
    assert "name" not in scripts["metadata"]
    commands = {each["command"][1].removeprefix("/config/") for each in pod(recorded("home"))["containers"]}
    assert commands == {"start.sh", "steward.sh"}
    assert commands < set(scripts["data"])
    assert {"stop.sh", "alive.sh", "passfile.sh", "roles.sql", "postgresql.conf", "pg_hba.conf"} < set(scripts["data"])


def test_every_night_a_dump_is_made() -> None:
    spec = recorded("home").one(":CronJob").inputs["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    job = spec["jobTemplate"]["spec"]["template"]["spec"]
    (dump,) = job["containers"]
    assert dump["command"] == ["sh", "/config/dump.sh"]
    assert environment(dump)["HOST"] == "postgres.lorafleet-postgres.svc"
    assert environment(dump)["KEEP"] == "14"
    assert {"name": "dumps", "persistentVolumeClaim": {"claimName": "postgres-dumps"}} in job["volumes"]
    assert not any(each.get("persistentVolumeClaim", {}).get("claimName") == "postgres-data" for each in job["volumes"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"role": "standby"}, "needs the key 'home'"),
        ({"home": FOLLOWS}, "a home follows nobody"),
        ({"image": "postgres:17"}, "should match pattern"),
        ({"exposed": {"allow": ["0.0.0.0/0"]}}, "wider than any site"),
        ({"exposed": {"allow": ["198.51.100.7"]}}, "wider than any site"),
        ({"exposed": {"allow": ["198.51.100.7/8"]}}, "is no IPv4 range"),
        ({"exposed": {"allow": []}}, "name one network at least"),
        ({"storage_gib": 1}, "greater than or equal to 10"),
        ({"password": "x"}, "Extra inputs are not permitted"),
    ],
)
def test_a_wrong_configuration_is_told(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as error:
        PostgresConfig.model_validate({**HOME, **change})
    assert said in str(error.value)
    assert len(error.value.errors()) == 1


def test_no_script_says_a_password() -> None:
    text = json.dumps(recorded("home").one(":ConfigMap").inputs["data"])
    assert "PASSWORD :'console'" in text
    assert "PGPASSWORD" not in text
