"""Each feature of a site on GKE, by its name."""

from itertools import pairwise
from typing import Any

import pulumi
import pulumi_gcp as gcp
import pytest
from recorded_program import changed, example, record, recorded

SITE = recorded("gcp")
CLUSTER = SITE.one("container/cluster:Cluster").inputs


def node_config(name: str) -> dict[str, Any]:
    found: dict[str, Any] = SITE.one(":NodePool", name).inputs["nodeConfig"]
    return found


def test_network_has_private_nodes_and_a_nat() -> None:
    assert CLUSTER["privateClusterConfig"]["enablePrivateNodes"] is True
    assert SITE.one(":RouterNat").inputs["sourceSubnetworkIpRangesToNat"] == "ALL_SUBNETWORKS_ALL_IP_RANGES"
    assert SITE.one("compute/network:Network").inputs["autoCreateSubnetworks"] is False
    assert SITE.one(":Subnetwork").inputs["privateIpGoogleAccess"] is True
    assert "gcp:compute/routerNat:RouterNat::network" in SITE.one("container/cluster:Cluster").dependencies


def test_cluster_writes_audit_logs() -> None:
    audit = SITE.one(":IAMAuditConfig").inputs
    assert audit["service"] == "container.googleapis.com"
    assert [each["logType"] for each in audit["auditLogConfigs"]] == ["ADMIN_READ", "DATA_READ", "DATA_WRITE"]
    assert "APISERVER" in CLUSTER["loggingConfig"]["enableComponents"]


def test_cluster_secrets_are_encrypted_by_the_customers_key() -> None:
    assert CLUSTER["databaseEncryption"] == {"state": "ENCRYPTED", "keyName": "key-id"}
    assert SITE.one(":CryptoKey").inputs["rotationPeriod"] == "7776000s"
    agents = {each.inputs["member"].split("@")[1].split(".")[0] for each in SITE.all(":CryptoKeyIAMMember")}
    assert agents == {
        "container-engine-robot",
        "compute-system",
        "gs-project-accounts",
        "gcp-sa-artifactregistry",
        "cloud-filer",
    }


def test_cloud_storages_agent_is_asked_for_since_a_new_project_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    told = "serviceAccount:told@gs-project-accounts.iam.gserviceaccount.com"
    result = gcp.storage.GetProjectServiceAccountResult(told, "id", told, "example-project", None)
    monkeypatch.setattr(gcp.storage, "get_project_service_account_output", lambda project, opts: pulumi.Output.from_input(result))
    assert record("gcp", example("gcp")).one(":CryptoKeyIAMMember", "key-storage").inputs["member"] == told


def test_whoever_uses_the_key_waits_for_the_grant() -> None:
    grants = {each.label for each in SITE.all(":CryptoKeyIAMMember")}
    for kind in (
        "container/cluster:Cluster",
        "storage/bucket:Bucket",
        "filestore/instance:Instance",
        "registry/repository:Repository",
    ):
        assert grants <= set(SITE.one(kind).dependencies), kind


def test_cluster_api_is_allow_listed() -> None:
    assert CLUSTER["masterAuthorizedNetworksConfig"] == {
        "cidrBlocks": [{"cidrBlock": "203.0.113.0/24"}],
        "gcpPublicCidrsAccessEnabled": False,
    }
    assert CLUSTER["controlPlaneEndpointsConfig"] == {"dnsEndpointConfig": {"allowExternalTraffic": False}}


def test_cluster_has_the_clouds_own_deletion_protection() -> None:
    assert CLUSTER["deletionProtection"] is True
    assert SITE.one("filestore/instance:Instance").inputs["deletionProtectionEnabled"] is True


def test_cluster_enforces_network_policies() -> None:
    assert CLUSTER["datapathProvider"] == "ADVANCED_DATAPATH"


def test_system_pool_is_small_and_always_there() -> None:
    scaling = SITE.one(":NodePool", "system").inputs["autoscaling"]
    assert (scaling["totalMinNodeCount"], scaling["totalMaxNodeCount"]) == (2, 4)
    assert (node_config("system")["machineType"], node_config("system")["labels"]) == (
        "e2-standard-4",
        {"lorafleet/pool": "system"},
    )
    assert SITE.one(":NodePool", "system").inputs["nodeLocations"] == ["us-west1-a", "us-west1-b", "us-west1-c"]


def test_cluster_has_the_version_that_the_stack_file_names() -> None:
    site = record("gcp", changed("gcp", kubernetes="1.33"))
    assert site.one("container/cluster:Cluster").inputs["minMasterVersion"] == "1.33"


def test_cluster_starts_without_a_pool_of_its_own() -> None:
    assert (CLUSTER["removeDefaultNodePool"], CLUSTER["initialNodeCount"]) == (True, 1)
    assert CLUSTER["nodeConfig"]["serviceAccount"] == "lf-gcp-us-west1-node@example-project.iam.gserviceaccount.com"
    assert SITE.one("container/cluster:Cluster").ignore_changes == ("nodeConfig",)


def test_cluster_has_workload_identity_shielded_nodes_and_the_driver_of_filestore() -> None:
    assert CLUSTER["enableShieldedNodes"] is True
    assert CLUSTER["addonsConfig"] == {"gcpFilestoreCsiDriverConfig": {"enabled": True}}
    assert CLUSTER["workloadIdentityConfig"] == {"workloadPool": "example-project.svc.id.goog"}


def test_everything_is_in_the_sites_project_and_region() -> None:
    for each in SITE.resources:
        assert each.inputs.get("project", "example-project") == "example-project", each.label
        assert each.inputs.get("region", "us-west1") == "us-west1", each.label
        assert each.inputs.get("location", "us-west1").lower().startswith("us-west1"), each.label


def test_gpu_pools_grow_from_zero_over_all_zones() -> None:
    for name, most in (("l4", 2), ("l4-spot", 6), ("h100-flex", 2)):
        pool = SITE.one(":NodePool", name)
        assert pool.inputs["autoscaling"] == {"totalMinNodeCount": 0, "totalMaxNodeCount": most, "locationPolicy": "ANY"}
        assert pool.inputs["initialNodeCount"] == 0
        assert pool.ignore_changes == ("initialNodeCount",)


def test_gpu_pools_stand_only_in_zones_that_have_the_machine() -> None:
    assert SITE.one(":NodePool", "h100-flex").inputs["nodeLocations"] == ["us-west1-a", "us-west1-b"]


def test_gpu_pools_are_changed_one_at_a_time() -> None:
    chain = ["system", "l4-spot", "l4", "h100-flex"]
    for before, after in pairwise(chain):
        assert f"gcp:container/nodePool:NodePool::{before}" in SITE.one(":NodePool", after).dependencies


def test_gpu_pools_of_spot_and_on_demand() -> None:
    assert node_config("l4-spot")["spot"] is True
    assert node_config("l4")["spot"] is False
    assert node_config("l4-spot")["reservationAffinity"] == {"consumeReservationType": "NO_RESERVATION"}


def test_gpu_pools_of_flex_start_keep_its_rules() -> None:
    pool = node_config("h100-flex")
    assert (pool["flexStart"], pool["spot"], pool["maxRunDuration"]) == (True, False, "604800s")
    assert pool["reservationAffinity"] == {"consumeReservationType": "NO_RESERVATION"}
    assert SITE.one(":NodePool", "h100-flex").inputs["management"]["autoRepair"] is False
    assert "flexStart" not in node_config("l4")


def test_gpu_pools_of_a_reservation() -> None:
    keys = {"machine": "g2-standard-8", "max": 2, "driver": "580", "capacity": "reserved", "zones": ["us-west1-a"]}
    site = record("gcp", changed("gcp", pools=[{"name": "l4", "reservation": "held", **keys}]))
    assert site.one(":NodePool", "l4").inputs["nodeConfig"]["reservationAffinity"] == {
        "consumeReservationType": "SPECIFIC_RESERVATION",
        "key": "compute.googleapis.com/reservation-name",
        "values": ["held"],
    }


def test_gpu_pools_bear_labels_and_the_one_taint() -> None:
    assert node_config("l4")["labels"] == {"lorafleet/pool": "l4", "lorafleet/gpu": "l4", "lorafleet/capacity": "on-demand"}
    assert node_config("l4")["taints"] == [{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}]


def test_gpu_pools_have_the_clouds_own_driver_and_exporter() -> None:
    accelerator = node_config("h100-flex")["guestAccelerators"][0]
    assert (accelerator["type"], accelerator["count"]) == ("nvidia-h100-80gb", 1)
    assert accelerator["gpuDriverInstallationConfig"] == {"gpuDriverVersion": "LATEST"}
    assert "DCGM" in CLUSTER["monitoringConfig"]["enableComponents"]


def test_nodes_keep_their_credentials_from_pods_and_encrypt_their_disks() -> None:
    for name in ("system", "l4", "l4-spot", "h100-flex"):
        pool = node_config(name)
        assert pool["workloadMetadataConfig"] == {"mode": "GKE_METADATA"}
        assert pool["bootDiskKmsKey"] == "key-id"
        assert pool["shieldedInstanceConfig"]["enableSecureBoot"] is True
        assert pool["serviceAccount"] == "lf-gcp-us-west1-node@example-project.iam.gserviceaccount.com"
    assert [each.inputs["role"] for each in SITE.all("projects/iAMMember:IAMMember", "node")] == [
        "roles/container.defaultNodeServiceAccount"
    ]


def test_registry_has_immutable_tags_scanning_lifecycle_and_the_key() -> None:
    registry = SITE.one("registry/repository:Repository").inputs
    assert registry["dockerConfig"] == {"immutableTags": True}
    assert registry["vulnerabilityScanningConfig"] == {"enablementConfig": "INHERITED"}
    assert registry["cleanupPolicies"][0]["condition"] == {"tagState": "UNTAGGED", "olderThan": "1209600s"}
    assert registry["cleanupPolicyDryRun"] is False
    assert registry["kmsKeyName"] == "key-id"
    assert SITE.one(":RepositoryIamMember").inputs["role"] == "roles/artifactregistry.reader"


def bucket() -> dict[str, Any]:
    return SITE.one("storage/bucket:Bucket").inputs


def test_object_store_is_encrypted() -> None:
    assert bucket()["encryption"] == {"defaultKmsKeyName": "key-id"}


def test_object_store_is_versioned() -> None:
    assert bucket()["versioning"] == {"enabled": True}
    assert bucket()["softDeletePolicy"] == {"retentionDurationSeconds": 604800}


def test_object_store_is_private() -> None:
    assert bucket()["publicAccessPrevention"] == "enforced"
    assert bucket()["uniformBucketLevelAccess"] is True
    assert bucket()["forceDestroy"] is False


def test_object_store_takes_tls_only() -> None:
    policy = SITE.one("orgpolicy/policy:Policy").inputs
    assert policy["name"] == "projects/example-project/policies/storage.secureHttpTransport"
    assert policy["spec"] == {"rules": [{"enforce": "TRUE"}]}
    assert not record("gcp", changed("gcp", refuse_plain_http=False)).all("orgpolicy/policy:Policy")


def test_object_store_has_a_lifecycle() -> None:
    rules = {each["action"]["type"]: each["condition"] for each in bucket()["lifecycleRules"]}
    assert rules == {
        "Delete": {"daysSinceNoncurrentTime": 30, "withState": "ARCHIVED"},
        "AbortIncompleteMultipartUpload": {"age": 3},
    }


def test_shared_file_system_is_filestore_with_the_key() -> None:
    files = SITE.one("filestore/instance:Instance").inputs
    assert (files["tier"], files["location"], files["kmsKeyName"]) == ("ZONAL", "us-west1-a", "key-id")
    assert files["fileShares"] == {"name": "shared", "capacityGb": 1024}
    assert files["networks"][0]["reservedIpRange"] == "10.44.255.192/26"


def test_trainer_identity_sees_its_own_prefix_only() -> None:
    rights = {each.inputs["role"]: each.inputs["condition"]["expression"] for each in SITE.all(":BucketIAMMember")}
    objects = 'resource.name.startsWith("projects/_/buckets/example-lorafleet-gcp-us-west1-42a87a/objects/jobs/")'
    listed = 'api.getAttribute("storage.googleapis.com/objectListPrefix", "").startsWith("jobs/")'
    assert rights == {
        "roles/storage.objectCreator": objects,
        "roles/storage.objectViewer": f"{objects} || {listed}",
    }
    bound = SITE.one("serviceaccount/iAMMember:IAMMember", "trainer")
    assert bound.inputs["role"] == "roles/iam.workloadIdentityUser"
    assert bound.inputs["member"] == "serviceAccount:example-project.svc.id.goog[lora/trainer]"
    assert "gcp:container/cluster:Cluster::cluster" in bound.dependencies
    assert not SITE.all("projects/iAMMember:IAMMember", "trainer")


def test_spinnaker_identity_only_reaches_the_api() -> None:
    assert SITE.one(":IAMCustomRole").inputs["permissions"] == ["container.clusters.get"]
    grants = SITE.all("projects/iAMMember:IAMMember", "spinnaker")
    assert [each.inputs["condition"]["expression"] for each in grants] == [
        'resource.name == "projects/example-project/locations/us-west1/clusters/lorafleet-gcp-us-west1"'
    ]
    acts = SITE.one("serviceaccount/iAMMember:IAMMember", "spinnaker").inputs
    assert acts["role"] == "roles/iam.serviceAccountTokenCreator"
    assert acts["member"] == "serviceAccount:spinnaker@example-home.iam.gserviceaccount.com"


def test_budget_alarm() -> None:
    budget = SITE.one(":Budget").inputs
    assert budget["amount"] == {"specifiedAmount": {"currencyCode": "USD", "units": "3000"}}
    assert budget["budgetFilter"]["projects"] == ["projects/123456789012"]
    assert [each["thresholdPercent"] for each in budget["thresholdRules"]] == [0.8, 1]
    assert SITE.one(":NotificationChannel").inputs["labels"] == {"email_address": "fleet@example.org"}
    assert budget["allUpdatesRule"]["monitoringNotificationChannels"] == ["budget-0-id"]
