"""ECR: one repository an image."""

import json
from dataclasses import dataclass

import pulumi
from pulumi_aws import ecr

from infra.components.component import Component
from infra.components.registry.lifecycle import UNTAGGED_DAYS

_KEPT_IMAGES = 500


@dataclass(frozen=True)
class AwsRegistryProps:
    """``path`` comes before each image's name."""

    path: str
    images: tuple[str, ...]
    key_arn: pulumi.Input[str]
    protect: bool


class AwsRegistry(Component):
    """Images' tags never move, each push is scanned, old images go.

    The tags ``sha256-…`` may move: they list the signatures of a digest, and a second one has to join them.
    """

    def __init__(self, name: str, props: AwsRegistryProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("registry:Aws", name, opts)
        addresses: list[pulumi.Output[str]] = []
        for image in props.images:
            label = f"{name}-{image}"
            repository = ecr.Repository(
                label,
                name=f"{props.path}/{image}",
                image_tag_mutability="IMMUTABLE_WITH_EXCLUSION",
                image_tag_mutability_exclusion_filters=[
                    ecr.RepositoryImageTagMutabilityExclusionFilterArgs(filter="sha256-*", filter_type="WILDCARD")
                ],
                image_scanning_configuration=ecr.RepositoryImageScanningConfigurationArgs(scan_on_push=True),
                encryption_configurations=[ecr.RepositoryEncryptionConfigurationArgs(encryption_type="KMS", kms_key=props.key_arn)],
                force_delete=False,
                opts=self.child(protect=props.protect),
            )
            ecr.LifecyclePolicy(label, repository=repository.name, policy=_lifecycle(), opts=self.child())
            addresses.append(repository.repository_url)
        self.address: pulumi.Output[str] = addresses[0].apply(lambda url: url.removesuffix(f"/{props.images[0]}"))
        self.register_outputs({"address": self.address})


def _lifecycle() -> str:
    untagged = {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": UNTAGGED_DAYS}
    many = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": _KEPT_IMAGES}
    rules = [
        {"rulePriority": 1, "description": "untagged images", "selection": untagged, "action": {"type": "expire"}},
        {"rulePriority": 2, "description": "the oldest images", "selection": many, "action": {"type": "expire"}},
    ]
    return json.dumps({"rules": rules}, sort_keys=True)
