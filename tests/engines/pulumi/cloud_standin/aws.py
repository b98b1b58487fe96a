"""What AWS answers, where a program or the contract wants the form of it."""

from collections.abc import Mapping
from typing import Any

from tests.engines.pulumi.cloud_standin.asked import Asked

_PREFIXES = {
    "ec2/defaultSecurityGroup:DefaultSecurityGroup": "sg-",
    "ec2/eip:Eip": "eipalloc-",
    "ec2/internetGateway:InternetGateway": "igw-",
    "ec2/launchTemplate:LaunchTemplate": "lt-",
    "ec2/natGateway:NatGateway": "nat-",
    "ec2/routeTable:RouteTable": "rtb-",
    "ec2/securityGroup:SecurityGroup": "sg-",
    "ec2/subnet:Subnet": "subnet-",
    "ec2/vpc:Vpc": "vpc-",
    "ec2/vpcEndpoint:VpcEndpoint": "vpce-",
    "efs/accessPoint:AccessPoint": "fsap-",
    "efs/fileSystem:FileSystem": "fs-",
}
_NAMED = {
    "cloudwatch/logGroup:LogGroup": ("name",),
    "ecr/repository:Repository": ("name",),
    "eks/accessEntry:AccessEntry": ("clusterName", "principalArn"),
    "eks/addon:Addon": ("clusterName", "addonName"),
    "eks/cluster:Cluster": ("name",),
    "eks/nodeGroup:NodeGroup": ("clusterName", "nodeGroupName"),
    "iam/role:Role": ("name",),
    "kms/alias:Alias": ("name",),
    "s3/bucket:Bucket": ("bucket",),
}
_WITHOUT_REGION = ("iam", "s3")


def answer(asked: Asked) -> dict[str, Any]:
    """The id, and what AWS adds to the inputs."""
    given = asked.inputs
    if names := _NAMED.get(asked.kind):
        identity = ":".join(given[name] for name in names)
    else:
        identity = _PREFIXES.get(asked.kind, f"{asked.name}-") + asked.mark
    account = asked.settings["allowedAccountIds"][0]
    service = asked.kind.split("/")[0]
    region = "" if service in _WITHOUT_REGION else asked.settings["region"]
    told = {
        "id": identity,
        "arn": f"arn:aws:{service}:{region}:{'' if service == 's3' else account}:{_path(asked, identity)}",
        "region": asked.settings["region"],
        "tagsAll": {**asked.settings.get("defaultTags", {}).get("tags", {}), **given.get("tags", {})},
    }
    match asked.kind:
        case "eks/cluster:Cluster":
            told["endpoint"] = f"https://{asked.kubernetes.host}"
            told["certificateAuthority"] = {"data": asked.kubernetes.ca}
        case "eks/nodeGroup:NodeGroup":
            told["resources"] = [{"autoscalingGroups": [{"name": f"eks-{asked.mark}"}], "remoteAccessSecurityGroupId": ""}]
        case "ecr/repository:Repository":
            told["repositoryUrl"] = f"{account}.dkr.ecr.{region}.amazonaws.com/{identity}"
        case "kms/key:Key":
            told["keyId"] = identity
    return told


def _path(asked: Asked, identity: str) -> str:
    kind = asked.kind.rpartition(":")[2].lower()
    return identity if asked.kind == "s3/bucket:Bucket" else f"{kind}/{identity}"


def refusal(token: str, inputs: Mapping[str, Any]) -> str | None:
    """Why AWS would not delete it."""
    return "deletion protection is on" if inputs.get("deletionProtection") is True else None


REPLACE: Mapping[str, tuple[str, ...]] = {
    "ec2/launchTemplate:LaunchTemplate": ("name",),
    "ec2/natGateway:NatGateway": ("allocationId", "subnetId"),
    "ec2/route:Route": ("routeTableId", "destinationCidrBlock"),
    "ec2/subnet:Subnet": ("vpcId", "cidrBlock", "availabilityZone", "availabilityZoneId"),
    "ec2/vpc:Vpc": ("cidrBlock", "instanceTenancy"),
    "ecr/repository:Repository": ("name", "encryptionConfigurations"),
    "efs/fileSystem:FileSystem": ("encrypted", "kmsKeyId", "performanceMode"),
    "efs/mountTarget:MountTarget": ("fileSystemId", "subnetId"),
    "eks/addon:Addon": ("addonName", "clusterName"),
    "eks/cluster:Cluster": (
        "name",
        "roleArn",
        "bootstrapSelfManagedAddons",
        "kubernetesNetworkConfig.serviceIpv4Cidr",
        "encryptionConfig",
    ),
    "eks/nodeGroup:NodeGroup": (
        "clusterName",
        "nodeGroupName",
        "nodeRoleArn",
        "subnetIds",
        "instanceTypes",
        "amiType",
        "capacityType",
        "diskSize",
    ),
    "iam/role:Role": ("name", "path"),
    "s3/bucket:Bucket": ("bucket", "objectLockEnabled"),
}
