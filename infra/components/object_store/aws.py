"""S3: one bucket a site."""

from dataclasses import dataclass

import pulumi
from pulumi_aws import s3

from infra.components.component import Component
from infra.components.iam_policy import Statement, document
from infra.components.object_store.lifecycle import ABANDONED_UPLOAD_DAYS, NONCURRENT_DAYS


@dataclass(frozen=True)
class AwsObjectStoreProps:
    """The bucket's name in the world, and the key of its objects."""

    bucket: str
    key_arn: pulumi.Input[str]
    protect: bool


class AwsObjectStore(Component):
    """Encrypted, versioned, private, over TLS 1.2 or newer only."""

    def __init__(self, name: str, props: AwsObjectStoreProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("object_store:Aws", name, opts)
        bucket = s3.Bucket(name, bucket=props.bucket, force_destroy=False, opts=self.child(protect=props.protect))
        private = s3.BucketPublicAccessBlock(
            name,
            bucket=bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=self.child(),
        )
        s3.BucketOwnershipControls(
            name,
            bucket=bucket.id,
            rule=s3.BucketOwnershipControlsRuleArgs(object_ownership="BucketOwnerEnforced"),
            opts=self.child(),
        )
        versioned = s3.BucketVersioning(
            name,
            bucket=bucket.id,
            versioning_configuration=s3.BucketVersioningVersioningConfigurationArgs(status="Enabled"),
            opts=self.child(),
        )
        default = s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
            sse_algorithm="aws:kms", kms_master_key_id=props.key_arn
        )
        s3.BucketServerSideEncryptionConfiguration(
            name,
            bucket=bucket.id,
            rules=[
                s3.BucketServerSideEncryptionConfigurationRuleArgs(
                    apply_server_side_encryption_by_default=default, bucket_key_enabled=True
                )
            ],
            opts=self.child(),
        )
        s3.BucketLifecycleConfiguration(
            name,
            bucket=bucket.id,
            rules=[
                s3.BucketLifecycleConfigurationRuleArgs(
                    id="overwritten-and-abandoned",
                    status="Enabled",
                    filter=s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
                    noncurrent_version_expiration=s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs(
                        noncurrent_days=NONCURRENT_DAYS
                    ),
                    abort_incomplete_multipart_upload=s3.BucketLifecycleConfigurationRuleAbortIncompleteMultipartUploadArgs(
                        days_after_initiation=ABANDONED_UPLOAD_DAYS
                    ),
                )
            ],
            opts=self.child(depends_on=[versioned]),
        )
        everything = [bucket.arn, pulumi.Output.concat(bucket.arn, "/*")]
        plain = {"Bool": {"aws:SecureTransport": "false"}}
        old = {"NumericLessThan": {"s3:TlsVersion": "1.2"}}
        s3.BucketPolicy(
            name,
            bucket=bucket.id,
            policy=document(
                Statement("RefusePlainHttp", ["s3:*"], everything, effect="Deny", principal="*", condition=plain),
                Statement("RefuseOldTls", ["s3:*"], everything, effect="Deny", principal="*", condition=old),
            ),
            opts=self.child(depends_on=[private]),
        )
        self.arn: pulumi.Output[str] = bucket.arn
        self.url: pulumi.Output[str] = pulumi.Output.concat("s3://", bucket.id)
        self.register_outputs({"url": self.url})
