"""Holds recorded inputs against the SDK's own annotations: unknown, missing and mistyped keys at any depth.

The SDKs of the bridged providers (AWS, Google) give enumerations as plain text; the values that the programs use stand here.
"""

import typing
from collections.abc import Iterator
from typing import Any

from pulumi._types import is_input_type
from pulumi.runtime.rpc import UNKNOWN
from sdk_types import alternatives, element, inputs_class, inputs_of, is_enum, is_list, is_mapping, required_of

ALLOWED = {
    "NodeGroupArgs.amiType": {"AL2023_x86_64_STANDARD", "AL2023_x86_64_NVIDIA"},
    "NodeGroupArgs.capacityType": {"ON_DEMAND", "SPOT", "CAPACITY_BLOCK"},
    "NodeGroupTaintArgs.effect": {"NO_SCHEDULE"},
    "ClusterAccessConfigArgs.authenticationMode": {"API"},
    "ClusterUpgradePolicyArgs.supportType": {"STANDARD"},
    "AddonArgs.addonName": {
        "vpc-cni",
        "kube-proxy",
        "coredns",
        "eks-pod-identity-agent",
        "aws-ebs-csi-driver",
        "aws-efs-csi-driver",
        "metrics-server",
    },
    "AddonArgs.resolveConflictsOnCreate": {"NONE", "OVERWRITE"},
    "AddonArgs.resolveConflictsOnUpdate": {"NONE", "OVERWRITE", "PRESERVE"},
    "AccessEntryArgs.type": {"STANDARD"},
    "AccessPolicyAssociationAccessScopeArgs.type": {"cluster"},
    "LaunchTemplateMetadataOptionsArgs.httpTokens": {"required"},
    "LaunchTemplateInstanceMarketOptionsArgs.marketType": {"capacity-block"},
    "LaunchTemplateTagSpecificationArgs.resourceType": {"instance", "volume"},
    "RepositoryArgs.imageTagMutability": {"IMMUTABLE_WITH_EXCLUSION"},
    "RepositoryImageTagMutabilityExclusionFilterArgs.filterType": {"WILDCARD"},
    "RepositoryEncryptionConfigurationArgs.encryptionType": {"KMS"},
    "BucketVersioningVersioningConfigurationArgs.status": {"Enabled"},
    "BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs.sseAlgorithm": {"aws:kms"},
    "BucketLifecycleConfigurationRuleArgs.status": {"Enabled"},
    "BucketOwnershipControlsRuleArgs.objectOwnership": {"BucketOwnerEnforced"},
    "FileSystemArgs.throughputMode": {"elastic"},
    "FileSystemLifecyclePolicyArgs.transitionToIa": {"AFTER_30_DAYS"},
    "FileSystemLifecyclePolicyArgs.transitionToPrimaryStorageClass": {"AFTER_1_ACCESS"},
    "BackupPolicyBackupPolicyArgs.status": {"ENABLED"},
    "VpcEndpointArgs.vpcEndpointType": {"Gateway"},
    "EipArgs.domain": {"vpc"},
    "BudgetArgs.budgetType": {"COST"},
    "BudgetArgs.timeUnit": {"MONTHLY"},
    "BudgetNotificationArgs.comparisonOperator": {"GREATER_THAN"},
    "BudgetNotificationArgs.notificationType": {"ACTUAL", "FORECASTED"},
    "BudgetNotificationArgs.thresholdType": {"PERCENTAGE"},
    "NodePoolNodeConfigTaintArgs.effect": {"NO_SCHEDULE"},
    "NodePoolNodeConfigGuestAcceleratorArgs.type": {
        "nvidia-tesla-t4",
        "nvidia-l4",
        "nvidia-tesla-a100",
        "nvidia-a100-80gb",
        "nvidia-h100-80gb",
        "nvidia-h200-141gb",
    },
    "NodePoolNodeConfigGuestAcceleratorGpuDriverInstallationConfigArgs.gpuDriverVersion": {"DEFAULT", "LATEST"},
    "NodePoolNodeConfigReservationAffinityArgs.consumeReservationType": {"NO_RESERVATION", "SPECIFIC_RESERVATION"},
    "NodePoolNodeConfigWorkloadMetadataConfigArgs.mode": {"GKE_METADATA"},
    "NodePoolAutoscalingArgs.locationPolicy": {"ANY", "BALANCED"},
    "ClusterArgs.networkingMode": {"VPC_NATIVE"},
    "ClusterArgs.datapathProvider": {"ADVANCED_DATAPATH"},
    "ClusterReleaseChannelArgs.channel": {"REGULAR"},
    "ClusterDatabaseEncryptionArgs.state": {"ENCRYPTED"},
    "RouterNatArgs.natIpAllocateOption": {"AUTO_ONLY"},
    "RouterNatArgs.sourceSubnetworkIpRangesToNat": {"ALL_SUBNETWORKS_ALL_IP_RANGES"},
    "BucketArgs.publicAccessPrevention": {"enforced"},
    "BucketLifecycleRuleActionArgs.type": {"Delete", "AbortIncompleteMultipartUpload"},
    "RepositoryArgs.format": {"DOCKER"},
    "RepositoryVulnerabilityScanningConfigArgs.enablementConfig": {"INHERITED"},
    "RepositoryCleanupPolicyArgs.action": {"DELETE", "KEEP"},
    "InstanceArgs.tier": {"ZONAL"},
    "InstanceNetworkArgs.connectMode": {"DIRECT_PEERING"},
    "IAMAuditConfigAuditLogConfigArgs.logType": {"ADMIN_READ", "DATA_READ", "DATA_WRITE"},
}


def faults(token: str, inputs: dict[str, Any]) -> list[str]:
    """Everything in a resource's inputs that its SDK would not take."""
    # A provider's own inputs travel as JSON text.
    return [] if token.startswith("pulumi:providers:") else list(_object(inputs_class(token), inputs, ""))


def _object(cls: type, value: dict[str, Any], where: str) -> Iterator[str]:
    known = inputs_of(cls)
    for name in sorted(required_of(cls) - value.keys()):
        yield f"{where}{name}: missing in {cls.__name__}"
    for name, given in value.items():
        if name not in known:
            yield f"{where}{name}: unknown in {cls.__name__}"
            continue
        yield from _value(known[name], given, f"{where}{name}")
        allowed = ALLOWED.get(f"{cls.__name__}.{name}")
        if allowed is not None and given != UNKNOWN and given not in allowed:
            yield f"{where}{name}: {given!r} is none of {', '.join(sorted(allowed))}"


def _value(annotation: Any, value: Any, where: str) -> Iterator[str]:
    if value == UNKNOWN:
        return
    kinds = alternatives(annotation)
    enums = [kind for kind in kinds if is_enum(kind)]
    if enums:
        # The SDK takes any text beside the enumeration; the cloud does not.
        values = [member.value for kind in enums for member in kind]
        if value not in values:
            yield f"{where}: {value!r} is none of {', '.join(map(str, values))}"
    elif not any(_fits(kind, value) for kind in kinds):
        yield f"{where}: {value!r} is no {' or '.join(str(kind) for kind in kinds)}"
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _value(element(next(filter(is_list, kinds))), item, f"{where}[{number}]")
    elif isinstance(value, dict):
        kind = next(kind for kind in kinds if _fits(kind, value))
        if is_mapping(kind):
            for key, item in value.items():
                yield from _value(element(kind), item, f"{where}.{key}")
        elif kind is not Any:
            yield from _object(kind, value, f"{where}.")


def _fits(kind: Any, value: Any) -> bool:
    if kind is Any:
        return True
    if typing.get_origin(kind) is typing.Literal:
        return value in typing.get_args(kind)
    if isinstance(value, dict):
        return is_mapping(kind) or (isinstance(kind, type) and is_input_type(kind) and not issubclass(kind, dict))
    if isinstance(value, list):
        return is_list(kind)
    if isinstance(value, bool):
        return kind is bool
    if isinstance(value, int | float):
        return kind is float or (kind is int and value == int(value))
    return kind is str and isinstance(value, str)
