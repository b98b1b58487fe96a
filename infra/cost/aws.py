"""What AWS asks money for."""

from collections.abc import Iterator, Sequence

from infra.cost.meter import ByUse, Meter, Metering, Steady, nodes
from infra.cost.recording import Resource


def _cluster(resource: Resource, _: Sequence[Resource]) -> Iterator[Meter]:
    yield Steady("control plane", "control plane", 1, 1)


def _node_group(resource: Resource, all_of_them: Sequence[Resource]) -> Iterator[Meter]:
    inputs = resource.inputs
    template = next(each for each in all_of_them if each.type.endswith(":LaunchTemplate") and each.name == resource.name)
    disk = template.inputs["blockDeviceMappings"][0]["ebs"]
    # A capacity block's machine type stands in the launch template.
    machine = (inputs.get("instanceTypes") or [template.inputs.get("instanceType")])[0]
    size = inputs["scalingConfig"]
    yield from nodes(
        f"pool {resource.name}",
        machine,
        inputs["labels"],
        size["minSize"],
        size["maxSize"],
        f"{disk['volumeType']} disk",
        disk["volumeSize"],
    )


def _nat(resource: Resource, _: Sequence[Resource]) -> Iterator[Meter]:
    yield Steady("NAT gateway", "NAT gateway", 1, 1)
    yield ByUse("NAT gateway: data", "NAT data")


def _address(resource: Resource, _: Sequence[Resource]) -> Iterator[Meter]:
    yield Steady("public address of the NAT gateway", "public IPv4 address", 1, 1)


def _key(resource: Resource, _: Sequence[Resource]) -> Iterator[Meter]:
    yield Steady("encryption key", "key", 1, 1)


def _bucket(resource: Resource, _: Sequence[Resource]) -> Iterator[Meter]:
    yield ByUse("object store", "objects")


def _images(resource: Resource, _: Sequence[Resource]) -> Iterator[Meter]:
    yield ByUse(f"registry: {resource.name.removeprefix('registry-')}", "images")


def _files(resource: Resource, _: Sequence[Resource]) -> Iterator[Meter]:
    yield ByUse("shared file system", "shared files")


def _logs(resource: Resource, _: Sequence[Resource]) -> Iterator[Meter]:
    yield ByUse("audit logs of the cluster", "logs")


def _backup(resource: Resource, _: Sequence[Resource]) -> Iterator[Meter]:
    yield ByUse("backup of the shared file system", "file backup")


METERING = Metering(
    priced={
        "aws:eks/cluster:Cluster": _cluster,
        "aws:eks/nodeGroup:NodeGroup": _node_group,
        "aws:ec2/natGateway:NatGateway": _nat,
        "aws:ec2/eip:Eip": _address,
        "aws:kms/key:Key": _key,
        "aws:s3/bucket:Bucket": _bucket,
        "aws:ecr/repository:Repository": _images,
        "aws:efs/fileSystem:FileSystem": _files,
        "aws:efs/backupPolicy:BackupPolicy": _backup,
        "aws:cloudwatch/logGroup:LogGroup": _logs,
    },
    free=frozenset(
        {
            "aws:autoscaling/tag:Tag",
            "aws:budgets/budget:Budget",  # The first two of an account.
            "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
            "aws:ec2/internetGateway:InternetGateway",
            "aws:ec2/launchTemplate:LaunchTemplate",
            "aws:ec2/route:Route",
            "aws:ec2/routeTable:RouteTable",
            "aws:ec2/routeTableAssociation:RouteTableAssociation",
            "aws:ec2/securityGroup:SecurityGroup",
            "aws:ec2/subnet:Subnet",
            "aws:ec2/vpc:Vpc",
            "aws:ec2/vpcEndpoint:VpcEndpoint",  # A gateway endpoint.
            "aws:ecr/lifecyclePolicy:LifecyclePolicy",
            "aws:efs/accessPoint:AccessPoint",
            "aws:efs/fileSystemPolicy:FileSystemPolicy",
            "aws:efs/mountTarget:MountTarget",
            "aws:eks/accessEntry:AccessEntry",
            "aws:eks/accessPolicyAssociation:AccessPolicyAssociation",
            "aws:eks/addon:Addon",
            "aws:eks/podIdentityAssociation:PodIdentityAssociation",
            "aws:iam/role:Role",
            "aws:iam/rolePolicy:RolePolicy",
            "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
            "aws:kms/alias:Alias",
            "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
            "aws:s3/bucketOwnershipControls:BucketOwnershipControls",
            "aws:s3/bucketPolicy:BucketPolicy",
            "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
            "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
            "aws:s3/bucketVersioning:BucketVersioning",
            "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
        }
    ),
)
