"""What each cloud's program must keep, whatever the cloud: providers, protection, one contract, no secret."""

import json
import re

import pytest
from recorded_program import SITES, changed, example, record, recorded

from infra.contract import CloudOutputs
from infra.pools import resolve
from lorafleet.contracts.site import Site

pytestmark = pytest.mark.parametrize("cloud", SITES)
HOLDS_DATA = {
    "aws": {
        "aws:kms/key:Key::key",
        "aws:s3/bucket:Bucket::store",
        "aws:efs/fileSystem:FileSystem::files",
        "aws:ecr/repository:Repository::registry-trainer",
        "aws:ecr/repository:Repository::registry-console",
        "aws:cloudwatch/logGroup:LogGroup::cluster",
        "aws:eks/cluster:Cluster::cluster",
    },
    "gcp": {
        "gcp:kms/keyRing:KeyRing::key",
        "gcp:kms/cryptoKey:CryptoKey::key",
        "gcp:storage/bucket:Bucket::store",
        "gcp:filestore/instance:Instance::files",
        "gcp:artifactregistry/repository:Repository::registry",
        "gcp:container/cluster:Cluster::cluster",
    },
    "azure": {
        "azure-native:resources:ResourceGroup::site",
        "azure-native:keyvault:Vault::key",
        "azure-native:keyvault:Key::key",
        "azure-native:storage:StorageAccount::store",
        "azure-native:storage:BlobContainer::store",
        "azure-native:storage:StorageAccount::files",
        "azure-native:storage:FileShare::files",
        "azure-native:containerregistry:Registry::registry",
        "azure-native:operationalinsights:Workspace::cluster",
        "azure-native:containerservice:ManagedCluster::cluster",
    },
}
RETAINED = {
    "aws": set(),
    "gcp": {
        "gcp:projects/iAMAuditConfig:IAMAuditConfig::cluster",
        "gcp:orgpolicy/policy:Policy::store",
    },
    "azure": {"azure-native:security:Pricing::registry"},
}


def test_every_resource_names_the_one_provider(cloud: str) -> None:
    resources = [each for each in recorded(cloud).resources if each.custom and not each.type.startswith("pulumi:providers:")]
    providers = [each.label for each in recorded(cloud).all("", "") if each.type.startswith("pulumi:providers:")]
    assert len(providers) == 1
    assert {each.provider for each in resources} == set(providers)


def test_every_resource_belongs_to_a_component(cloud: str) -> None:
    for each in recorded(cloud).resources:
        if each.custom and not each.type.startswith("pulumi:providers:") and each.name != "site":
            assert each.parent.startswith("lorafleet:"), each.label


def test_what_holds_data_is_protected(cloud: str) -> None:
    assert {each.label for each in recorded(cloud).resources if each.protect} == HOLDS_DATA[cloud]


def test_protection_can_be_taken_off(cloud: str) -> None:
    recording = record(cloud, changed(cloud, protect=False))
    assert not [each.label for each in recording.resources if each.protect]
    assert not recording.all(":ManagementLockByScope")
    text = json.dumps([each.inputs for each in recording.resources])
    assert not re.search(r'"deletionProtection(Enabled)?": true', text)


def test_only_settings_of_a_whole_account_outlive_the_site(cloud: str) -> None:
    assert {each.label for each in recorded(cloud).resources if each.retain} == RETAINED[cloud]


def test_names_are_told_apart(cloud: str) -> None:
    labels = [each.label for each in recorded(cloud).resources]
    assert len(set(labels)) == len(labels)


def test_outputs_satisfy_the_contract(cloud: str) -> None:
    outputs = CloudOutputs.model_validate(recorded(cloud).outputs["cloud"])
    site = outputs.site(claim="shared", prometheus=None, spinnaker_account=SITES[cloud])
    assert Site.model_validate_json(site.model_dump_json()) == site
    config = example(cloud)
    assert sum(pool.max for pool in site.gpu_pools) == sum(pool.max * resolve(config, pool).gpus for pool in config.pools)
    assert site.cluster.endpoint.startswith("https://")
    assert site.cluster.name in outputs.cluster.kubeconfig_command


def test_the_one_output_holds_no_secret(cloud: str) -> None:
    assert set(recorded(cloud).outputs) == {"cloud"}
    assert recorded(cloud).secrets == set()


def test_gpu_pools_say_the_same_in_every_cloud(cloud: str) -> None:
    for pool in CloudOutputs.model_validate(recorded(cloud).outputs["cloud"]).gpu_pools:
        assert {"lorafleet/pool", "lorafleet/gpu", "lorafleet/capacity"} <= set(pool.labels)
        assert ("nvidia.com/gpu", "present", "NoSchedule") in [(each.key, each.value, each.effect) for each in pool.taints]


def test_a_first_preview_shows_the_whole_site(cloud: str) -> None:
    planned = record(cloud, example(cloud), preview=True)
    assert [each.label for each in planned.resources] == [each.label for each in recorded(cloud).resources]
    assert planned.outputs == {"cloud": None}


def test_an_empty_allow_list_opens_nothing(cloud: str) -> None:
    recording = record(cloud, changed(cloud, api={"allow": []}))
    match cloud:
        case "aws":
            access = recording.one(":Cluster").inputs["vpcConfig"]
            assert (access["endpointPublicAccess"], access["endpointPrivateAccess"]) == (False, True)
            assert "publicAccessCidrs" not in access
        case "gcp":
            cluster = recording.one("container/cluster:Cluster").inputs
            assert cluster["privateClusterConfig"]["enablePrivateEndpoint"] is True
            assert cluster["masterAuthorizedNetworksConfig"].get("cidrBlocks", []) == []
        case _:
            access = recording.one(":ManagedCluster").inputs["apiServerAccessProfile"]
            assert access["enablePrivateCluster"] is True
            assert "authorizedIPRanges" not in access
            assert "privatelink" in recording.outputs["cloud"]["cluster"]["endpoint"]
