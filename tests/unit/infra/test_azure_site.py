"""Each feature of a site on AKS, by its name."""

import base64
from typing import Any

import pytest
from invented_outputs import CA, KUBECONFIG
from recorded_program import changed, record, recorded

from infra.azure_roles import Role
from infra.components.cluster.azure import certificate_authority

SITE = recorded("azure")
CLUSTER = SITE.one(":ManagedCluster").inputs


def assignment(name: str) -> dict[str, Any]:
    return SITE.one(":RoleAssignment", name).inputs


def test_network_has_private_nodes_and_a_nat() -> None:
    subnet = SITE.one(":Subnet").inputs
    assert (subnet["defaultOutboundAccess"], subnet["natGateway"], subnet["addressPrefix"]) == (
        False,
        {"id": "network-id"},
        "10.48.0.0/17",
    )
    assert subnet["networkSecurityGroup"]["id"] == "network-id"
    assert CLUSTER["networkProfile"]["outboundType"] == "userAssignedNATGateway"
    assert SITE.one(":VirtualNetwork").ignore_changes == ("subnets",)


def test_cluster_writes_audit_logs() -> None:
    setting = SITE.one(":DiagnosticSetting").inputs
    assert "kube-audit" in [each["category"] for each in setting["logs"] if each["enabled"]]
    assert SITE.one(":Workspace").inputs["retentionInDays"] == 365


def test_cluster_secrets_are_encrypted_by_the_customers_key() -> None:
    assert CLUSTER["securityProfile"]["azureKeyVaultKms"] == {
        "enabled": True,
        "keyId": "key.keyUriWithVersion",
        "keyVaultNetworkAccess": "Public",
    }
    assert assignment("key-cluster")["roleDefinitionId"].endswith(Role.KEY_VAULT_CRYPTO_USER)
    assert "azure-native:authorization:RoleAssignment::key-cluster" in SITE.one(":ManagedCluster").dependencies
    vault = SITE.one(":Vault").inputs["properties"]
    assert (vault["enablePurgeProtection"], vault["enableRbacAuthorization"]) == (True, True)
    assert SITE.one("keyvault:Key").inputs["properties"]["rotationPolicy"]["lifetimeActions"][0]["action"] == {"type": "rotate"}


def test_cluster_api_is_allow_listed() -> None:
    access = CLUSTER["apiServerAccessProfile"]
    assert access["authorizedIPRanges"] == ["203.0.113.0/24", "network.ipAddress/32"]
    assert (access["enablePrivateCluster"], access["disableRunCommand"]) == (False, True)


def test_cluster_knows_only_entra_identities() -> None:
    assert CLUSTER["disableLocalAccounts"] is True
    assert CLUSTER["aadProfile"]["enableAzureRBAC"] is False
    assert CLUSTER["aadProfile"]["adminGroupObjectIDs"] == ["00000000-0000-0000-0000-000000000003"]


def test_cluster_has_workload_identity_and_the_drivers() -> None:
    assert CLUSTER["oidcIssuerProfile"] == {"enabled": True}
    assert CLUSTER["securityProfile"]["workloadIdentity"] == {"enabled": True}
    assert CLUSTER["storageProfile"] == {"diskCSIDriver": {"enabled": True}, "fileCSIDriver": {"enabled": True}}


def test_cluster_is_a_standard_one_that_patches_itself_under_its_own_identity() -> None:
    assert CLUSTER["sku"] == {"name": "Base", "tier": "Standard"}
    assert CLUSTER["enableRBAC"] is True
    assert CLUSTER["identity"]["type"] == "UserAssigned"
    assert len(CLUSTER["identity"]["userAssignedIdentities"]) == 1
    assert CLUSTER["autoUpgradeProfile"] == {"upgradeChannel": "patch", "nodeOSUpgradeChannel": "NodeImage"}
    assert CLUSTER["nodeResourceGroupProfile"] == {"restrictionLevel": "ReadOnly"}
    assert {each.inputs["principalType"] for each in SITE.all(":RoleAssignment")} == {"ServicePrincipal"}


def test_cluster_enforces_network_policies() -> None:
    assert (CLUSTER["networkProfile"]["networkPolicy"], CLUSTER["networkProfile"]["networkDataplane"]) == ("cilium", "cilium")


def test_what_holds_data_has_the_clouds_own_deletion_protection() -> None:
    locked = {each.name: each.inputs["level"] for each in SITE.all(":ManagementLockByScope")}
    assert locked == dict.fromkeys(("key", "registry", "store", "files"), "CanNotDelete")


def test_system_pool_is_small_and_always_there() -> None:
    (system,) = CLUSTER["agentPoolProfiles"]
    assert (system["mode"], system["minCount"], system["maxCount"], system["enableAutoScaling"]) == ("System", 2, 4, True)
    assert (system["vmSize"], system["availabilityZones"], system["count"]) == ("Standard_D4s_v5", ["1", "2", "3"], 2)
    assert (system["vnetSubnetID"], system["nodeLabels"]) == ("network-id", {"lorafleet/pool": "system"})
    assert "agentPoolProfiles[0].count" in SITE.one(":ManagedCluster").ignore_changes


def test_every_node_has_the_version_that_the_stack_file_names() -> None:
    site = record("azure", changed("azure", kubernetes="1.33"))
    cluster = site.one(":ManagedCluster").inputs
    assert cluster["kubernetesVersion"] == cluster["agentPoolProfiles"][0]["orchestratorVersion"] == "1.33"
    assert {pool.inputs["orchestratorVersion"] for pool in site.all(":AgentPool")} == {"1.33"}


def test_every_node_runs_linux() -> None:
    pools = [*CLUSTER["agentPoolProfiles"], *(each.inputs for each in SITE.all(":AgentPool"))]
    assert {(pool["osType"], pool["osSKU"], pool["type"]) for pool in pools} == {("Linux", "Ubuntu", "VirtualMachineScaleSets")}


LOCATED = (
    "ResourceGroup",
    "Vault",
    "UserAssignedIdentity",
    "NetworkSecurityGroup",
    "PublicIPAddress",
    "NatGateway",
    "VirtualNetwork",
    "ManagedCluster",
    "Workspace",
    "Registry",
    "StorageAccount",
)


@pytest.mark.parametrize("kind", LOCATED)
def test_everything_is_in_the_sites_region(kind: str) -> None:
    assert {each.inputs["location"] for each in SITE.all(f":{kind}")} == {"westeurope"}


def test_gpu_pools_grow_from_zero() -> None:
    for name, most in (("a100", 2), ("a10spot", 4)):
        pool = SITE.one(":AgentPool", name)
        assert [pool.inputs[key] for key in ("count", "minCount", "maxCount", "enableAutoScaling")] == [0, 0, most, True]
        assert "count" in pool.ignore_changes


def test_gpu_pools_of_spot_and_on_demand() -> None:
    spot, plain = SITE.one(":AgentPool", "a10spot").inputs, SITE.one(":AgentPool", "a100").inputs
    assert (spot["scaleSetPriority"], spot["scaleSetEvictionPolicy"], spot["spotMaxPrice"]) == ("Spot", "Delete", -1)
    assert plain["scaleSetPriority"] == "Regular"
    assert not {"scaleSetEvictionPolicy", "spotMaxPrice"} & set(plain)


def test_gpu_pools_of_a_reservation() -> None:
    keys = {"machine": "Standard_NC24ads_A100_v4", "max": 2, "driver": "580", "capacity": "reserved"}
    site = record("azure", changed("azure", pools=[{"name": "a100", "reservation": "/groups/held", **keys}]))
    assert site.one(":AgentPool", "a100").inputs["capacityReservationGroupID"] == "/groups/held"


def test_gpu_pools_bear_labels_and_the_taint_and_what_aks_adds() -> None:
    plain, spot = SITE.one(":AgentPool", "a100").inputs, SITE.one(":AgentPool", "a10spot").inputs
    assert plain["nodeLabels"] == {"lorafleet/pool": "a100", "lorafleet/gpu": "a100-80gb", "lorafleet/capacity": "on-demand"}
    assert plain["nodeTaints"] == ["nvidia.com/gpu=present:NoSchedule"]
    assert spot["nodeTaints"] == ["nvidia.com/gpu=present:NoSchedule", "kubernetes.azure.com/scalesetpriority=spot:NoSchedule"]
    assert spot["nodeLabels"]["kubernetes.azure.com/scalesetpriority"] == "spot"


def test_gpu_pools_have_the_clouds_own_driver() -> None:
    assert SITE.one(":AgentPool", "a100").inputs["gpuProfile"] == {"driver": "Install"}


def test_registry_has_scanning_lifecycle_and_the_key() -> None:
    registry = SITE.one(":Registry").inputs
    assert (registry["adminUserEnabled"], registry["anonymousPullEnabled"]) == (False, False)
    assert registry["policies"]["retentionPolicy"] == {"days": 14, "status": "enabled"}
    assert registry["encryption"]["keyVaultProperties"]["keyIdentifier"] == "key.keyUri"
    assert len(registry["identity"]["userAssignedIdentities"]) == 1
    plan = SITE.one(":Pricing").inputs
    assert (plan["pricingName"], plan["pricingTier"]) == ("Containers", "Standard")
    assert plan["extensions"] == [{"name": "ContainerRegistriesVulnerabilityAssessments", "isEnabled": "True"}]
    assert assignment("registry")["roleDefinitionId"].endswith(Role.ACR_PULL)
    assert assignment("registry")["principalId"] == "kubelet-object-id"


def account() -> dict[str, Any]:
    return SITE.one(":StorageAccount", "store").inputs


def test_object_store_is_encrypted() -> None:
    assert account()["encryption"]["keySource"] == "Microsoft.Keyvault"
    assert account()["encryption"]["keyVaultProperties"]["keyName"] == "key.name"
    assert "keyVersion" not in account()["encryption"]["keyVaultProperties"]
    assert "azure-native:authorization:RoleAssignment::key-stores" in SITE.one(":StorageAccount", "store").dependencies
    assert assignment("key-stores")["roleDefinitionId"].endswith(Role.KEY_VAULT_CRYPTO_SERVICE_ENCRYPTION_USER)


def test_object_store_is_versioned() -> None:
    service = SITE.one(":BlobServiceProperties").inputs
    assert service["isVersioningEnabled"] is True
    assert service["deleteRetentionPolicy"] == {"enabled": True, "days": 30}


def test_object_store_is_private() -> None:
    assert (account()["allowBlobPublicAccess"], account()["allowSharedKeyAccess"]) == (False, False)
    assert SITE.one(":BlobContainer").inputs["publicAccess"] == "None"


def test_object_store_takes_tls_only() -> None:
    assert (account()["enableHttpsTrafficOnly"], account()["minimumTlsVersion"]) == (True, "TLS1_2")


def test_object_store_has_a_lifecycle() -> None:
    (rule,) = SITE.one(":ManagementPolicy").inputs["policy"]["rules"]
    assert rule["definition"]["actions"] == {"version": {"delete": {"daysAfterCreationGreaterThan": 30}}}


def test_shared_file_system_is_nfs_that_answers_nodes_only() -> None:
    files = SITE.one(":StorageAccount", "files").inputs
    assert files["networkRuleSet"] == {
        "defaultAction": "Deny",
        "bypass": "None",
        "virtualNetworkRules": [{"virtualNetworkResourceId": "network-id", "action": "Allow"}],
    }
    assert files["encryption"]["keySource"] == "Microsoft.Keyvault"
    share = SITE.one(":FileShare").inputs
    assert (share["enabledProtocols"], share["shareQuota"]) == ("NFS", 1024)


def test_trainer_identity_sees_its_own_prefix_only() -> None:
    (permission,) = SITE.one(":RoleDefinition").inputs["permissions"]
    blobs = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
    assert permission["dataActions"] == [f"{blobs}/read", f"{blobs}/write", f"{blobs}/add/action"]
    assert permission["actions"] == []
    right = assignment("trainer")
    assert right["scope"] == "store-id"
    assert right["conditionVersion"] == "2.0"
    assert right["condition"].count("StringStartsWith 'jobs/'") == 4
    for action in permission["dataActions"]:
        assert f"ActionMatches{{'{action}'}}" in right["condition"]
    subject = SITE.one(":FederatedIdentityCredential", "trainer").inputs
    assert subject["subject"] == "system:serviceaccount:lora:trainer"
    assert subject["issuer"] == "https://westeurope.oic.prod-aks.azure.com/example/"


def test_spinnaker_identity_only_reaches_the_api() -> None:
    principal = SITE.outputs["cloud"]["spinnaker_subject"]["name"]
    rights = [each.inputs for each in SITE.all(":RoleAssignment") if each.inputs["principalId"] == principal]
    assert [each["roleDefinitionId"].rpartition("/")[2] for each in rights] == [Role.AKS_CLUSTER_USER]
    assert rights[0]["scope"].endswith("/managedClusters/lorafleet-azure-westeurope")
    trust = SITE.one(":FederatedIdentityCredential", "spinnaker").inputs
    assert trust["subject"] == "system:serviceaccount:spinnaker:spin-clouddriver"


def test_budget_alarm() -> None:
    budget = SITE.one(":Budget").inputs
    assert (budget["amount"], budget["timeGrain"]) == (3000, "Monthly")
    # AKS keeps the nodes in a group of its own.
    assert budget["scope"] == "/subscriptions/00000000-0000-0000-0000-000000000001"
    groups = ["lorafleet-azure-westeurope", "lorafleet-azure-westeurope-nodes"]
    assert budget["filter"] == {"dimensions": {"name": "ResourceGroupName", "operator": "In", "values": groups}}
    assert CLUSTER["nodeResourceGroup"] == groups[1]
    assert budget["timePeriod"] == {"startDate": "2026-12-01T00:00:00Z"}
    assert {each["thresholdType"]: each["threshold"] for each in budget["notifications"].values()} == {
        "Actual": 80,
        "Forecasted": 100,
    }
    assert all(each["contactEmails"] == ["fleet@example.org"] for each in budget["notifications"].values())


def test_the_certificate_authority_is_all_that_is_taken_of_a_kubeconfig() -> None:
    assert certificate_authority(KUBECONFIG) == CA


@pytest.mark.parametrize(
    "text", ["clusters: []", "users: [{token: t0ps3cret}]", "clusters: [{cluster: {}}]", "[", "clusters: {a: b}"]
)
def test_a_kubeconfig_without_authority_is_not_shown(text: str) -> None:
    with pytest.raises(ValueError, match="without a certificate authority") as caught:
        certificate_authority(base64.b64encode(text.encode()).decode())
    assert "t0ps3cret" not in str(caught.value)
