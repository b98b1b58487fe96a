"""EFS: elastic, in every zone, over TLS only."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import ec2, efs, vpc

from infra.components.component import Component
from infra.components.iam_policy import Statement, document
from infra.components.shared_fs.owner import GID, UID

_NFS = 2049


@dataclass(frozen=True)
class AwsSharedFsProps:
    """``subnets`` is by zone id; ``nodes`` is the security group that nodes are in."""

    vpc_id: pulumi.Input[str]
    subnets: Mapping[str, pulumi.Input[str]]
    nodes: pulumi.Input[str]
    key_arn: pulumi.Input[str]
    protect: bool


class AwsSharedFs(Component):
    """``handle`` is the EFS driver's name of the volume: file system and access point."""

    def __init__(self, name: str, props: AwsSharedFsProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("shared_fs:Aws", name, opts)
        files = efs.FileSystem(
            name,
            encrypted=True,
            kms_key_id=props.key_arn,
            throughput_mode="elastic",
            lifecycle_policies=[
                efs.FileSystemLifecyclePolicyArgs(transition_to_ia="AFTER_30_DAYS"),
                efs.FileSystemLifecyclePolicyArgs(transition_to_primary_storage_class="AFTER_1_ACCESS"),
            ],
            opts=self.child(protect=props.protect),
        )
        group = ec2.SecurityGroup(name, vpc_id=props.vpc_id, description="NFS from the nodes", opts=self.child())
        vpc.SecurityGroupIngressRule(
            name,
            security_group_id=group.id,
            referenced_security_group_id=props.nodes,
            ip_protocol="tcp",
            from_port=_NFS,
            to_port=_NFS,
            opts=self.child(),
        )
        for zone, subnet in props.subnets.items():
            efs.MountTarget(
                f"{name}-{zone}", file_system_id=files.id, subnet_id=subnet, security_groups=[group.id], opts=self.child()
            )
        point = efs.AccessPoint(
            name,
            file_system_id=files.id,
            posix_user=efs.AccessPointPosixUserArgs(uid=UID, gid=GID),
            root_directory=efs.AccessPointRootDirectoryArgs(
                path="/shared",
                creation_info=efs.AccessPointRootDirectoryCreationInfoArgs(owner_uid=UID, owner_gid=GID, permissions="0770"),
            ),
            opts=self.child(),
        )
        efs.FileSystemPolicy(
            name,
            file_system_id=files.id,
            policy=document(
                Statement(
                    "MountTargetsOnly",
                    ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"],
                    [files.arn],
                    principal={"AWS": "*"},
                    condition={"Bool": {"elasticfilesystem:AccessedViaMountTarget": "true"}},
                ),
                Statement(
                    "RefusePlainNfs",
                    ["*"],
                    [files.arn],
                    effect="Deny",
                    principal={"AWS": "*"},
                    condition={"Bool": {"aws:SecureTransport": "false"}},
                ),
            ),
            opts=self.child(),
        )
        efs.BackupPolicy(
            name,
            file_system_id=files.id,
            backup_policy=efs.BackupPolicyBackupPolicyArgs(status="ENABLED"),
            opts=self.child(),
        )
        self.handle: pulumi.Output[str] = pulumi.Output.concat(files.id, "::", point.id)
        self.register_outputs({"handle": self.handle})
