"""One Cloud KMS key for a site on Google Cloud."""

from dataclasses import dataclass

import pulumi
from pulumi_gcp import kms, projects, storage

from infra.components.component import Component

_ROTATION = f"{90 * 24 * 3600}s"
_TAKEN_BACK = f"{30 * 24 * 3600}s"
_USER = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
# Whose data is encrypted with the key, beside the objects': etcd, node disks, images, shared files.
_AGENTS = {
    "container": "container-engine-robot",
    "compute": "compute-system",
    "artifactregistry": "gcp-sa-artifactregistry",
    "file": "cloud-filer",
}
# Google makes the other services' agents with the service; these two only when they are asked for.
_MADE_ON_REQUEST = ("artifactregistry", "file")


@dataclass(frozen=True)
class GcpKeyProps:
    """``project_number`` is in the names of Google's service agents."""

    project: str
    project_number: str
    region: str
    protect: bool


class GcpKey(Component):
    """Rotates every ninety days. ``grants`` is what a user of the key waits for."""

    def __init__(self, name: str, props: GcpKeyProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("keys:Gcp", name, opts)
        # A key ring can never be deleted: with a name that Pulumi invents, a site can be built again.
        ring = kms.KeyRing(name, location=props.region, project=props.project, opts=self.child(protect=props.protect))
        key = kms.CryptoKey(
            name,
            key_ring=ring.id,
            purpose="ENCRYPT_DECRYPT",
            rotation_period=_ROTATION,
            destroy_scheduled_duration=_TAKEN_BACK,
            opts=self.child(protect=props.protect),
        )
        agents = {
            service: projects.ServiceIdentity(
                f"{name}-{service}", project=props.project, service=f"{service}.googleapis.com", opts=self.child()
            )
            for service in _MADE_ON_REQUEST
        }
        # Cloud Storage makes its agent when somebody asks who it is: in a new project nobody has.
        asked = storage.get_project_service_account_output(project=props.project, opts=pulumi.InvokeOutputOptions(parent=self))
        members: dict[str, pulumi.Input[str]] = {
            service: f"serviceAccount:service-{props.project_number}@{domain}.iam.gserviceaccount.com"
            for service, domain in _AGENTS.items()
        }
        members["storage"] = asked.member
        self.grants: list[pulumi.Resource] = [
            kms.CryptoKeyIAMMember(
                f"{name}-{service}",
                crypto_key_id=key.id,
                role=_USER,
                member=member,
                opts=self.child(depends_on=[agents[service]] if service in agents else []),
            )
            for service, member in members.items()
        ]
        self.key_id: pulumi.Output[str] = key.id
        self.register_outputs({"key_id": self.key_id})
