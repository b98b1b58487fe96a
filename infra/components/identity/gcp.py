"""Google service accounts of the trainer's pods and of Spinnaker."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_gcp import projects, serviceaccount, storage

from infra.components.component import Component
from infra.components.identity.prefix import TRAINER_PREFIX


@dataclass(frozen=True)
class GcpTrainerProps:
    """The Kubernetes service account, and the bucket of which it sees one prefix."""

    project: str
    account_id: str
    namespace: str
    service_account: str
    bucket: pulumi.Input[str]


class GcpTrainerIdentity(Component):
    """Reads and writes objects of jobs, and nothing else; it deletes nothing. ``depends_on`` is the cluster: it makes the pool."""

    def __init__(
        self, name: str, props: GcpTrainerProps, opts: pulumi.ResourceOptions, *, depends_on: Sequence[pulumi.Resource]
    ) -> None:
        super().__init__("identity:GcpTrainer", name, opts)
        account = serviceaccount.Account(
            name, project=props.project, account_id=props.account_id, display_name="lorafleet trainer", opts=self.child()
        )
        serviceaccount.IAMMember(
            name,
            service_account_id=account.name,
            role="roles/iam.workloadIdentityUser",
            member=f"serviceAccount:{props.project}.svc.id.goog[{props.namespace}/{props.service_account}]",
            opts=self.child(depends_on=depends_on),
        )
        objects = pulumi.Output.concat(
            'resource.name.startsWith("projects/_/buckets/', props.bucket, f'/objects/{TRAINER_PREFIX}")'
        )
        listed = f'api.getAttribute("storage.googleapis.com/objectListPrefix", "").startsWith("{TRAINER_PREFIX}")'
        for role, expression in (
            ("roles/storage.objectCreator", objects),
            ("roles/storage.objectViewer", pulumi.Output.concat(objects, " || ", listed)),
        ):
            storage.BucketIAMMember(
                f"{name}-{role.rpartition('.')[2]}",
                bucket=props.bucket,
                role=role,
                member=account.member,
                condition=storage.BucketIAMMemberConditionArgs(title="jobs-only", expression=expression),
                opts=self.child(),
            )
        self.email: pulumi.Output[str] = account.email
        self.register_outputs({"email": self.email})


@dataclass(frozen=True)
class GcpSpinnakerProps:
    """Who may act as the account, and the one cluster that it may find."""

    project: str
    account_id: str
    cluster_id: pulumi.Input[str]
    principal: str


class GcpSpinnakerIdentity(Component):
    """Knows where the cluster's API is; the in-cluster Role, bound to its e-mail, says what it may do there."""

    def __init__(self, name: str, props: GcpSpinnakerProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("identity:GcpSpinnaker", name, opts)
        account = serviceaccount.Account(
            name, project=props.project, account_id=props.account_id, display_name="lorafleet Spinnaker", opts=self.child()
        )
        serviceaccount.IAMMember(
            name,
            service_account_id=account.name,
            role="roles/iam.serviceAccountTokenCreator",
            member=props.principal,
            opts=self.child(),
        )
        # A deleted role keeps its id for weeks: with an id that Pulumi invents, a site can be built again.
        role = projects.IAMCustomRole(
            name,
            project=props.project,
            title="lorafleet Spinnaker",
            description="Finds one cluster's API",
            permissions=["container.clusters.get"],
            opts=self.child(),
        )
        projects.IAMMember(
            name,
            project=props.project,
            role=role.name,
            member=account.member,
            condition=projects.IAMMemberConditionArgs(
                title="this-cluster", expression=pulumi.Output.concat('resource.name == "', props.cluster_id, '"')
            ),
            opts=self.child(),
        )
        self.email: pulumi.Output[str] = account.email
        self.register_outputs({"email": self.email})
