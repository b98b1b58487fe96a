"""The pure parts of the in-cluster stack: kubeconfig, quota, facts, images."""

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_incluster import HOME, cloud_outputs, incluster

from infra.incluster.config import Images, Local, LocalPool, Room
from infra.incluster.facts import from_cloud, from_local
from infra.incluster.images import TABLE, image
from infra.incluster.kubeconfig import exec_kubeconfig, kubeconfig_path
from infra.incluster.naming import labels, selector
from infra.incluster.quota import for_service, for_workers
from lorafleet.contracts.credentials import find_credential
from lorafleet.contracts.gpus import GPUS
from lorafleet.contracts.image import parse_image

CLOUDS = ("aws", "gcp", "azure")
NAMES = st.sampled_from([gpu.name for gpu in GPUS])
POOLS = st.lists(st.builds(LocalPool, gpu=NAMES, driver=st.sampled_from(["580.1", "570"]), gpus=st.integers(1, 1000)), max_size=6)


@given(kind=st.sampled_from(CLOUDS), words=st.lists(st.text(max_size=30), min_size=1, max_size=6))
def test_a_kubeconfig_runs_the_clouds_command_word_by_word(kind: str, words: list[str]) -> None:
    outputs = cloud_outputs(kind).model_copy(update={"login_command": tuple(words)})
    config = json.loads(exec_kubeconfig(outputs))
    plugin = config["users"][0]["user"]["exec"]
    assert [plugin["command"], *plugin["args"]] == words
    assert plugin["interactiveMode"] == "Never"
    context = next(each for each in config["contexts"] if each["name"] == config["current-context"])["context"]
    assert context["cluster"] == config["clusters"][0]["name"]
    assert context["user"] == config["users"][0]["name"]


@pytest.mark.parametrize("kind", CLOUDS)
def test_a_kubeconfig_holds_no_credential(kind: str) -> None:
    config = json.loads(exec_kubeconfig(cloud_outputs(kind)))
    assert find_credential(config) is None
    assert set(config["users"][0]["user"]) == {"exec"}
    assert config["clusters"][0]["cluster"]["server"] == cloud_outputs(kind).cluster.endpoint
    assert config["clusters"][0]["cluster"]["certificate-authority-data"] == cloud_outputs(kind).cluster.ca


def test_the_first_named_kubeconfig_counts() -> None:
    assert str(kubeconfig_path({"KUBECONFIG": "/a:/b"})) == "/a"
    assert kubeconfig_path({}).parts[-2:] == (".kube", "config")


@given(gpus=st.integers(0, 100_000), pods=st.integers(1, 5000), claims=st.integers(0, 1))
def test_a_quota_is_what_the_pools_have(gpus: int, pods: int, claims: int) -> None:
    hard = for_workers(Room(pods=pods), gpus, claims)
    assert hard["requests.nvidia.com/gpu"] == str(gpus)
    assert hard["pods"] == str(pods)
    assert hard["persistentvolumeclaims"] == str(claims)
    assert all(isinstance(value, str) and value for value in hard.values())
    assert for_service(pods, "1", "1Gi")["requests.nvidia.com/gpu"] == "0"


@given(pools=POOLS)
def test_gpus_of_ones_own_cluster_are_added_up(pools: list[LocalPool]) -> None:
    value = incluster("local").local
    assert value is not None
    local = Local.model_validate({**value.model_dump(), "gpu_pools": [pool.model_dump() for pool in pools]})
    facts = from_local("home", local, HOME, "http://p:9090")
    assert facts.gpus == sum(pool.gpus for pool in pools)
    kinds = [(pool.type, pool.driver) for pool in facts.site.gpu_pools]
    assert len(set(kinds)) == len(kinds)
    assert (facts.device_plugin, facts.dcgm_exporter) == (bool(pools), bool(pools))


@pytest.mark.parametrize("kind", CLOUDS)
def test_facts_of_a_cloud_are_what_its_stack_told(kind: str) -> None:
    outputs = cloud_outputs(kind)
    facts = from_cloud(outputs, "http://p:9090")
    assert facts.gpus == sum(pool.max_nodes * pool.gpus for pool in outputs.gpu_pools)
    assert facts.system_nodes == outputs.system_labels
    assert (facts.device_plugin, facts.dcgm_exporter, facts.autoscaler) == (
        outputs.device_plugin,
        outputs.dcgm_exporter,
        outputs.autoscaler,
    )
    assert len(set(facts.taints)) == len(facts.taints)


@given(name=st.sampled_from(sorted(TABLE)), digest=st.text(string.hexdigits.lower()[:16], min_size=64, max_size=64))
def test_a_digest_of_the_configuration_wins(name: str, digest: str) -> None:
    told = image(name, Images(digests={name: f"sha256:{digest}"}))
    assert parse_image(told).digest == f"sha256:{digest}"
    assert parse_image(told).tag == ""
    assert parse_image(image(name, Images(registry="mirror.example.org/x"))).digest == TABLE[name].digest


def test_every_image_of_the_table_has_a_digest_and_a_version_to_read() -> None:
    for name, known in TABLE.items():
        assert known.name == name
        assert known.digest
        assert known.tag
        assert known.registry


def test_pods_are_found_by_what_they_carry() -> None:
    assert selector("x").items() <= labels("x").items()
