"""One KMS key for a site on AWS."""

from dataclasses import dataclass

import pulumi
from pulumi_aws import kms

from infra.components.component import Component
from infra.components.iam_policy import Statement, document


@dataclass(frozen=True)
class AwsKeyProps:
    """``log_group`` is the name of the log group that CloudWatch may encrypt with the key."""

    account: str
    region: str
    alias: str
    log_group: str
    protect: bool


class AwsKey(Component):
    """Rotates every year; a deleted key can be taken back for thirty days."""

    def __init__(self, name: str, props: AwsKeyProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("keys:Aws", name, opts)
        owner = Statement("Owner", ["kms:*"], ["*"], principal={"AWS": f"arn:aws:iam::{props.account}:root"})
        group = f"arn:aws:logs:{props.region}:{props.account}:log-group:{props.log_group}"
        logs = Statement(
            "AuditLogs",
            ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
            ["*"],
            principal={"Service": f"logs.{props.region}.amazonaws.com"},
            condition={"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": group}},
        )
        key = kms.Key(
            name,
            description=f"lorafleet site {props.alias}",
            enable_key_rotation=True,
            deletion_window_in_days=30,
            policy=document(owner, logs),
            opts=self.child(protect=props.protect),
        )
        kms.Alias(name, name=f"alias/{props.alias}", target_key_id=key.key_id, opts=self.child())
        self.arn: pulumi.Output[str] = key.arn
        self.register_outputs({"arn": self.arn})
