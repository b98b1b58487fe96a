"""Each feature of a site on EKS, by its name."""

import json
from typing import Any

import pytest
from recorded_program import changed, example, record, recorded

from infra.config import GpuPool

SITE = recorded("aws")


def policy(kind: str, name: str) -> list[dict[str, Any]]:
    document: dict[str, Any] = json.loads(SITE.one(kind, name).inputs["policy"])
    return list(document["Statement"])


def test_network_has_private_nodes_and_a_nat() -> None:
    subnets = {each.name: each.inputs for each in SITE.all(":Subnet")}
    assert {each["availabilityZoneId"] for each in subnets.values()} == {"euc1-az1", "euc1-az2", "euc1-az3"}
    assert not any(each["mapPublicIpOnLaunch"] for each in subnets.values())
    assert len(SITE.all(":NatGateway")) == 1
    ways_out = [each.inputs for each in SITE.all(":Route") if "natGatewayId" in each.inputs]
    assert len(ways_out) == 3
    assert len(record("aws", changed("aws", network={"cidr": "10.40.0.0/16", "nat_per_zone": True})).all(":NatGateway")) == 3


def test_network_default_group_lets_nobody() -> None:
    group = SITE.one(":DefaultSecurityGroup").inputs
    assert "ingress" not in group
    assert "egress" not in group


def test_network_reaches_s3_without_nat() -> None:
    assert SITE.one(":VpcEndpoint").inputs["serviceName"] == "com.amazonaws.eu-central-1.s3"
    assert len(SITE.one(":VpcEndpoint").inputs["routeTableIds"]) == 3


def test_cluster_writes_audit_logs_to_an_encrypted_group() -> None:
    assert "audit" in SITE.one("eks/cluster:Cluster").inputs["enabledClusterLogTypes"]
    group = SITE.one(":LogGroup").inputs
    assert group["name"] == "/aws/eks/lorafleet-aws-eu-central-1/cluster"
    assert group["retentionInDays"] == 365
    assert group["kmsKeyId"]
    assert "aws:cloudwatch/logGroup:LogGroup::cluster" in SITE.one("eks/cluster:Cluster").dependencies


def test_cluster_secrets_are_encrypted_by_the_customers_key() -> None:
    encryption = SITE.one("eks/cluster:Cluster").inputs["encryptionConfig"]
    assert encryption == {"provider": {"keyArn": "key.arn"}, "resources": ["secrets"]}
    assert SITE.one(":Key").inputs["enableKeyRotation"] is True
    assert [each["Resource"] for each in policy(":RolePolicy", "cluster")] == [["key.arn"]]
    assert "aws:iam/rolePolicy:RolePolicy::cluster" in SITE.one("eks/cluster:Cluster").dependencies


def test_the_key_is_used_by_whom_the_account_lets_and_by_one_log_group() -> None:
    statements = {each["Sid"]: each for each in policy("kms/key:Key", "key")}
    assert statements["Owner"]["Principal"] == {"AWS": "arn:aws:iam::123456789012:root"}
    logs = statements["AuditLogs"]
    assert logs["Principal"] == {"Service": "logs.eu-central-1.amazonaws.com"}
    assert next(iter(logs["Condition"]["ArnEquals"].values())).endswith("/aws/eks/lorafleet-aws-eu-central-1/cluster")
    assert SITE.one(":Key").inputs["deletionWindowInDays"] == 30


def test_cluster_api_is_allow_listed() -> None:
    access = SITE.one("eks/cluster:Cluster").inputs["vpcConfig"]
    assert access["publicAccessCidrs"] == ["203.0.113.0/24"]
    assert access["endpointPrivateAccess"] is True


def test_cluster_gives_its_creator_no_rights() -> None:
    access = SITE.one("eks/cluster:Cluster").inputs["accessConfig"]
    assert access == {"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": False}
    assert [each.inputs["principalArn"] for each in SITE.all(":AccessPolicyAssociation")] == list(example("aws").operators)


def test_cluster_has_the_clouds_own_deletion_protection() -> None:
    assert SITE.one("eks/cluster:Cluster").inputs["deletionProtection"] is True


def test_addons_enforce_network_policies() -> None:
    assert SITE.one(":Addon", "node-addons-vpc-cni").inputs["configurationValues"] == '{"enableNetworkPolicy": "true"}'


def test_addons_that_nodes_need_come_first() -> None:
    needed = {f"aws:eks/addon:Addon::node-addons-{each}" for each in ("vpc-cni", "kube-proxy", "eks-pod-identity-agent")}
    for pool in SITE.all(":NodeGroup"):
        assert needed <= set(pool.dependencies), pool.label
    for each in ("coredns", "metrics-server", "aws-ebs-csi-driver", "aws-efs-csi-driver"):
        assert "aws:eks/nodeGroup:NodeGroup::system" in SITE.one(":Addon", f"addons-{each}").dependencies


def test_addons_of_storage_have_roles_of_their_own() -> None:
    for driver, account in (("ebs", "ebs-csi-controller-sa"), ("efs", "efs-csi-controller-sa")):
        name = f"addons-aws-{driver}-csi-driver"
        role = f"arn:aws:iam::123456789012:role/{name}"
        assert SITE.one(":Addon", name).inputs["podIdentityAssociations"] == [{"roleArn": role, "serviceAccount": account}]
        (trust,) = json.loads(SITE.one(":Role", name).inputs["assumeRolePolicy"])["Statement"]
        assert trust["Principal"] == {"Service": "pods.eks.amazonaws.com"}
        assert trust["Condition"]["ArnEquals"]["aws:SourceArn"].endswith(":cluster/lorafleet-aws-eu-central-1")
        assert (
            SITE.one(":RolePolicyAttachment", name).inputs["policyArn"].upper().endswith(f"AMAZON{driver.upper()}CSIDRIVERPOLICY")
        )


def test_addons_take_over_what_a_cluster_comes_with() -> None:
    for addon in SITE.all(":Addon"):
        conflicts = (addon.inputs["resolveConflictsOnCreate"], addon.inputs["resolveConflictsOnUpdate"])
        assert conflicts == ("OVERWRITE", "PRESERVE")


def test_cluster_has_the_version_that_the_stack_file_names() -> None:
    assert record("aws", changed("aws", kubernetes="1.33")).one("eks/cluster:Cluster").inputs["version"] == "1.33"


def test_system_pool_is_small_and_always_there() -> None:
    pool = SITE.one(":NodeGroup", "system")
    assert pool.inputs["scalingConfig"] == {"desiredSize": 2, "minSize": 2, "maxSize": 4}
    assert pool.ignore_changes == ("scalingConfig.desiredSize",)
    assert (pool.inputs["instanceTypes"], pool.inputs["amiType"]) == (["m7i.large"], "AL2023_x86_64_STANDARD")
    assert pool.inputs["labels"] == {"lorafleet/pool": "system"}
    assert len(pool.inputs["subnetIds"]) == 3


def test_gpu_pools_grow_from_zero_and_leave_the_size_to_the_autoscaler() -> None:
    for name, most in (("l4", 2), ("l4-spot", 6)):
        pool = SITE.one(":NodeGroup", name)
        assert pool.inputs["scalingConfig"] == {"desiredSize": 0, "minSize": 0, "maxSize": most}
        assert pool.ignore_changes == ("scalingConfig.desiredSize",)


def test_gpu_pools_stand_only_in_zones_that_have_the_machine() -> None:
    assert SITE.one(":NodeGroup", "l4").inputs["subnetIds"] == [
        "network-private-euc1-az2-id",
        "network-private-euc1-az3-id",
    ]


def test_gpu_pools_of_spot_and_on_demand() -> None:
    assert SITE.one(":NodeGroup", "l4-spot").inputs["capacityType"] == "SPOT"
    assert SITE.one(":NodeGroup", "l4").inputs["capacityType"] == "ON_DEMAND"


def pools(**keys: Any) -> list[dict[str, Any]]:
    pool = GpuPool.model_validate({"name": "l4", "machine": "g6.xlarge", "max": 2, "driver": "580", **keys})
    return [pool.model_dump(exclude_none=True)]


def test_gpu_pools_of_a_reservation() -> None:
    config = changed("aws", pools=pools(capacity="reserved", reservation="cr-1", zones=["euc1-az2"]))
    site = record("aws", config)
    template = site.one(":LaunchTemplate", "l4").inputs
    assert template["capacityReservationSpecification"] == {"capacityReservationTarget": {"capacityReservationId": "cr-1"}}
    assert site.one(":NodeGroup", "l4").inputs["subnetIds"] == ["network-private-euc1-az2-id"]


def test_gpu_pools_of_a_capacity_block() -> None:
    config = changed("aws", pools=pools(capacity="capacity-block", reservation="cr-1", zones=["euc1-az2"]))
    site = record("aws", config)
    template = site.one(":LaunchTemplate", "l4").inputs
    assert template["instanceMarketOptions"] == {"marketType": "capacity-block"}
    assert template["instanceType"] == "g6.xlarge"
    assert site.one(":NodeGroup", "l4").inputs["capacityType"] == "CAPACITY_BLOCK"
    assert "instanceTypes" not in site.one(":NodeGroup", "l4").inputs


def test_gpu_pools_bear_labels_and_the_one_taint() -> None:
    pool = SITE.one(":NodeGroup", "l4-spot").inputs
    assert pool["labels"] == {"lorafleet/pool": "l4-spot", "lorafleet/gpu": "l4", "lorafleet/capacity": "spot"}
    assert pool["taints"] == [{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}]


def test_gpu_pools_have_the_clouds_own_driver() -> None:
    assert SITE.one(":NodeGroup", "l4").inputs["amiType"] == "AL2023_x86_64_NVIDIA"


def test_gpu_pools_tell_the_autoscaler_what_an_empty_one_holds() -> None:
    tags = {
        each.inputs["tag"]["key"]: each.inputs["tag"]["value"]
        for each in SITE.all("autoscaling/tag:Tag")
        if each.name.startswith("l4-k8s")
    }
    template = "k8s.io/cluster-autoscaler/node-template"
    assert tags == {
        f"{template}/label/lorafleet/pool": "l4",
        f"{template}/label/lorafleet/gpu": "l4",
        f"{template}/label/lorafleet/capacity": "on-demand",
        f"{template}/taint/nvidia.com/gpu": "present:NoSchedule",
        f"{template}/resources/nvidia.com/gpu": "1",
    }


def test_autoscaler_sizes_only_its_own_cluster() -> None:
    sizes = next(each for each in policy(":RolePolicy", "autoscaler") if "autoscaling:SetDesiredCapacity" in each["Action"])
    assert sizes["Condition"] == {"StringEquals": {"aws:ResourceTag/eks:cluster-name": "lorafleet-aws-eu-central-1"}}
    assert SITE.one(":PodIdentityAssociation", "autoscaler").inputs["serviceAccount"] == "cluster-autoscaler"


def test_nodes_keep_their_credentials_from_pods_and_encrypt_their_disks() -> None:
    for template in SITE.all(":LaunchTemplate"):
        metadata = template.inputs["metadataOptions"]
        assert (metadata["httpTokens"], metadata["httpPutResponseHopLimit"]) == ("required", 1)
        assert template.inputs["blockDeviceMappings"][0]["ebs"]["encrypted"] == "true"


def test_registry_has_immutable_tags_scanning_lifecycle_and_the_key() -> None:
    for image in ("trainer", "console"):
        repository = SITE.one(":Repository", f"registry-{image}").inputs
        assert repository["imageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION"
        assert repository["imageTagMutabilityExclusionFilters"] == [{"filter": "sha256-*", "filterType": "WILDCARD"}]
        assert repository["imageScanningConfiguration"] == {"scanOnPush": True}
        assert repository["encryptionConfigurations"] == [{"encryptionType": "KMS", "kmsKey": "key.arn"}]
        assert repository["forceDelete"] is False
        rules = json.loads(SITE.one(":LifecyclePolicy", f"registry-{image}").inputs["policy"])["rules"]
        assert rules[0]["selection"]["tagStatus"] == "untagged"


def test_object_store_is_encrypted() -> None:
    rule = SITE.one(":BucketServerSideEncryptionConfiguration").inputs["rules"][0]
    assert rule["applyServerSideEncryptionByDefault"] == {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": "key.arn"}


def test_object_store_is_versioned() -> None:
    assert SITE.one(":BucketVersioning").inputs["versioningConfiguration"] == {"status": "Enabled"}


def test_object_store_is_private() -> None:
    block = SITE.one(":BucketPublicAccessBlock").inputs
    assert [value for value in block.values() if isinstance(value, bool)] == [True] * 4
    assert SITE.one(":BucketOwnershipControls").inputs["rule"] == {"objectOwnership": "BucketOwnerEnforced"}
    assert SITE.one("s3/bucket:Bucket").inputs["forceDestroy"] is False


@pytest.mark.parametrize("condition", [{"Bool": {"aws:SecureTransport": "false"}}, {"NumericLessThan": {"s3:TlsVersion": "1.2"}}])
def test_object_store_takes_tls_only(condition: dict[str, Any]) -> None:
    refused = next(each for each in policy(":BucketPolicy", "store") if each["Condition"] == condition)
    bucket = "arn:aws:s3:::example-lorafleet-aws-eu-central-1-96bfb3"
    assert (refused["Effect"], refused["Principal"], refused["Action"]) == ("Deny", "*", ["s3:*"])
    assert refused["Resource"] == [bucket, f"{bucket}/*"]


def test_object_store_has_a_lifecycle() -> None:
    rule = SITE.one(":BucketLifecycleConfiguration").inputs["rules"][0]
    assert rule["noncurrentVersionExpiration"] == {"noncurrentDays": 30}
    assert rule["abortIncompleteMultipartUpload"] == {"daysAfterInitiation": 3}
    assert "expiration" not in rule


def test_shared_file_system_is_efs_encrypted_in_every_zone_and_backed_up() -> None:
    files = SITE.one(":FileSystem").inputs
    assert (files["encrypted"], files["kmsKeyId"]) == (True, "key.arn")
    assert len(SITE.all(":MountTarget")) == 3
    assert SITE.one(":BackupPolicy").inputs["backupPolicy"] == {"status": "ENABLED"}
    assert SITE.one(":AccessPoint").inputs["posixUser"] == {"uid": 10001, "gid": 10001}


def test_shared_file_system_answers_nodes_only_and_over_tls() -> None:
    rule = SITE.one(":SecurityGroupIngressRule").inputs
    assert (rule["fromPort"], rule["toPort"]) == (2049, 2049)
    assert rule["referencedSecurityGroupId"] == "cluster.vpcConfig.clusterSecurityGroupId"
    assert "cidrIpv4" not in rule
    refused = next(each for each in policy(":FileSystemPolicy", "files") if each["Effect"] == "Deny")
    assert refused["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_trainer_identity_sees_its_own_prefix_only() -> None:
    statements = {each["Sid"]: each for each in policy(":RolePolicy", "trainer")}
    bucket = "arn:aws:s3:::example-lorafleet-aws-eu-central-1-96bfb3"
    assert statements["Objects"]["Resource"] == [f"{bucket}/jobs/*"]
    assert statements["List"]["Condition"] == {"StringLike": {"s3:prefix": "jobs/*"}}
    assert statements["Key"]["Condition"] == {"StringEquals": {"kms:ViaService": "s3.eu-central-1.amazonaws.com"}}
    actions = {action for each in statements.values() for action in each["Action"]}
    assert not {action for action in actions if "*" in action or "Delete" in action}
    bound = SITE.one(":PodIdentityAssociation", "trainer").inputs
    assert (bound["namespace"], bound["serviceAccount"]) == ("lora", "trainer")


def test_spinnaker_identity_only_reaches_the_api() -> None:
    assert [(each["Action"], len(each["Resource"])) for each in policy(":RolePolicy", "spinnaker")] == [
        (["eks:DescribeCluster"], 1)
    ]
    entry = SITE.one(":AccessEntry", "spinnaker").inputs
    assert entry["kubernetesGroups"] == ["lorafleet:deployers"]
    assert entry["type"] == "STANDARD"
    assert SITE.one(":Role", "spinnaker").inputs["maxSessionDuration"] == 3600
    assert entry["principalArn"] not in [each.inputs["principalArn"] for each in SITE.all(":AccessPolicyAssociation")]
    assert not SITE.all(":RolePolicyAttachment", "spinnaker")
    trust = json.loads(SITE.one(":Role", "spinnaker").inputs["assumeRolePolicy"])["Statement"]
    assert [each["Principal"] for each in trust] == [{"AWS": "arn:aws:iam::123456789012:role/example-spinnaker-home"}]


def test_budget_alarm() -> None:
    budget = SITE.one(":Budget").inputs
    assert (budget["limitAmount"], budget["limitUnit"], budget["timeUnit"]) == ("3000", "USD", "MONTHLY")
    assert budget["costFilters"] == [{"name": "TagKeyValue", "values": ["user:lorafleet-site$aws-eu-central-1"]}]
    assert [(each["notificationType"], each["threshold"]) for each in budget["notifications"]] == [
        ("ACTUAL", 80),
        ("FORECASTED", 100),
    ]
    assert all(each["subscriberEmailAddresses"] == ["fleet@example.org"] for each in budget["notifications"])


def test_the_budget_counts_the_machines_and_their_disks() -> None:
    for template in SITE.all(":LaunchTemplate"):
        tags = {each["resourceType"]: each["tags"] for each in template.inputs["tagSpecifications"]}
        assert set(tags) == {"instance", "volume"}, template.name
        assert all(each["lorafleet-site"] == "aws-eu-central-1" for each in tags.values()), template.name


def test_load_balancers_find_their_subnets() -> None:
    tags = {each.name: each.inputs["tags"] for each in SITE.all(":Subnet")}
    assert {name for name, each in tags.items() if "kubernetes.io/role/elb" in each} == {name for name in tags if "public" in name}
    internal = {name for name, each in tags.items() if "kubernetes.io/role/internal-elb" in each}
    assert internal == {name for name in tags if "private" in name}


def test_provider_is_held_to_the_account_and_tags_everything() -> None:
    provider = SITE.one("pulumi:providers:aws").inputs
    assert json.loads(provider["allowedAccountIds"]) == ["123456789012"]
    assert json.loads(provider["defaultTags"]) == {"tags": {"lorafleet-site": "aws-eu-central-1"}}
