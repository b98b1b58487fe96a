"""Artifact Registry: one repository a site."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_gcp import artifactregistry

from infra.components.component import Component
from infra.components.registry.lifecycle import UNTAGGED_DAYS


@dataclass(frozen=True)
class GcpRegistryProps:
    """``reader`` is whom the nodes pull as."""

    project: str
    region: str
    repository: str
    reader: pulumi.Input[str]
    key_id: pulumi.Input[str]
    protect: bool


class GcpRegistry(Component):
    """Tags never move (so that only untagged images can be cleaned up), each push is scanned."""

    def __init__(
        self, name: str, props: GcpRegistryProps, opts: pulumi.ResourceOptions, *, depends_on: Sequence[pulumi.Resource]
    ) -> None:
        super().__init__("registry:Gcp", name, opts)
        repository = artifactregistry.Repository(
            name,
            project=props.project,
            location=props.region,
            repository_id=props.repository,
            format="DOCKER",
            docker_config=artifactregistry.RepositoryDockerConfigArgs(immutable_tags=True),
            vulnerability_scanning_config=artifactregistry.RepositoryVulnerabilityScanningConfigArgs(enablement_config="INHERITED"),
            cleanup_policy_dry_run=False,
            cleanup_policies=[
                artifactregistry.RepositoryCleanupPolicyArgs(
                    id="untagged",
                    action="DELETE",
                    condition=artifactregistry.RepositoryCleanupPolicyConditionArgs(
                        tag_state="UNTAGGED", older_than=f"{UNTAGGED_DAYS * 24 * 3600}s"
                    ),
                )
            ],
            kms_key_name=props.key_id,
            opts=self.child(protect=props.protect, depends_on=depends_on),
        )
        artifactregistry.RepositoryIamMember(
            name,
            project=props.project,
            location=props.region,
            repository=repository.name,
            role="roles/artifactregistry.reader",
            member=props.reader,
            opts=self.child(),
        )
        self.address: pulumi.Output[str] = pulumi.Output.concat(
            f"{props.region}-docker.pkg.dev/{props.project}/", repository.repository_id
        )
        self.register_outputs({"address": self.address})
