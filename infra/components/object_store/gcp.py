"""Cloud Storage: one bucket a site."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_gcp import orgpolicy, storage

from infra.components.component import Component
from infra.components.object_store.lifecycle import ABANDONED_UPLOAD_DAYS, NONCURRENT_DAYS

_TAKEN_BACK_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True)
class GcpObjectStoreProps:
    """``refuse_plain_http`` sets the policy of the whole project: a bucket has no such switch."""

    project: str
    region: str
    bucket: str
    key_id: pulumi.Input[str]
    refuse_plain_http: bool
    protect: bool


class GcpObjectStore(Component):
    """Encrypted, versioned, private, over TLS only."""

    def __init__(
        self, name: str, props: GcpObjectStoreProps, opts: pulumi.ResourceOptions, *, depends_on: Sequence[pulumi.Resource]
    ) -> None:
        super().__init__("object_store:Gcp", name, opts)
        bucket = storage.Bucket(
            name,
            name=props.bucket,
            project=props.project,
            location=props.region.upper(),
            uniform_bucket_level_access=True,
            public_access_prevention="enforced",
            versioning=storage.BucketVersioningArgs(enabled=True),
            encryption=storage.BucketEncryptionArgs(default_kms_key_name=props.key_id),
            soft_delete_policy=storage.BucketSoftDeletePolicyArgs(retention_duration_seconds=_TAKEN_BACK_SECONDS),
            lifecycle_rules=[
                storage.BucketLifecycleRuleArgs(
                    action=storage.BucketLifecycleRuleActionArgs(type="Delete"),
                    condition=storage.BucketLifecycleRuleConditionArgs(
                        days_since_noncurrent_time=NONCURRENT_DAYS, with_state="ARCHIVED"
                    ),
                ),
                storage.BucketLifecycleRuleArgs(
                    action=storage.BucketLifecycleRuleActionArgs(type="AbortIncompleteMultipartUpload"),
                    condition=storage.BucketLifecycleRuleConditionArgs(age=ABANDONED_UPLOAD_DAYS),
                ),
            ],
            force_destroy=False,
            opts=self.child(protect=props.protect, depends_on=depends_on),
        )
        if props.refuse_plain_http:
            orgpolicy.Policy(
                name,
                name=f"projects/{props.project}/policies/storage.secureHttpTransport",
                parent=f"projects/{props.project}",
                spec=orgpolicy.PolicySpecArgs(rules=[orgpolicy.PolicySpecRuleArgs(enforce="TRUE")]),
                opts=self.child(retain_on_delete=True),
            )
        self.bucket: pulumi.Output[str] = bucket.name
        self.url: pulumi.Output[str] = pulumi.Output.concat("gs://", bucket.name)
        self.register_outputs({"url": self.url})
