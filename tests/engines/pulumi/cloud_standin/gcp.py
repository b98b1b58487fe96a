"""What Google Cloud answers, where a program or the contract wants the form of it."""

from collections.abc import Mapping
from typing import Any

from tests.engines.pulumi.cloud_standin.asked import SECRET, Asked
from tests.engines.pulumi.cloud_standin.values import secret

_PATHS = {
    "artifactregistry/repository:Repository": "projects/{project}/locations/{location}/repositories/{repositoryId}",
    "compute/network:Network": "projects/{project}/global/networks/{name}",
    "compute/router:Router": "projects/{project}/regions/{region}/routers/{name}",
    "compute/routerNat:RouterNat": "{project}/{region}/{router}/{name}",
    "compute/subnetwork:Subnetwork": "projects/{project}/regions/{region}/subnetworks/{name}",
    "container/cluster:Cluster": "projects/{project}/locations/{location}/clusters/{name}",
    "container/nodePool:NodePool": "projects/{project}/locations/{location}/clusters/{cluster}/nodePools/{name}",
    "filestore/instance:Instance": "projects/{project}/locations/{location}/instances/{name}",
    "kms/cryptoKey:CryptoKey": "{keyRing}/cryptoKeys/{name}",
    "kms/keyRing:KeyRing": "projects/{project}/locations/{location}/keyRings/{name}",
    "projects/iAMCustomRole:IAMCustomRole": "projects/{project}/roles/{roleId}",
    "storage/bucket:Bucket": "{name}",
}
_NAMED_BY_ID = ("projects/iAMCustomRole:IAMCustomRole",)


def answer(asked: Asked) -> dict[str, Any]:
    """The id, and what Google adds to the inputs."""
    given = asked.inputs
    path = _PATHS.get(asked.kind)
    identity = path.format_map(given) if path else f"{asked.name}-{asked.mark}"
    told: dict[str, Any] = {"id": identity}
    if "name" in given:
        told["selfLink"] = f"https://www.googleapis.com/v1/{identity}"
    if asked.kind in _NAMED_BY_ID:
        told["name"] = identity
    match asked.kind:
        case "container/cluster:Cluster":
            told["endpoint"] = asked.kubernetes.host
            told["masterAuth"] = {"clusterCaCertificate": asked.kubernetes.ca, "clientKey": secret(SECRET)}
        case "serviceaccount/account:Account":
            email = f"{given['accountId']}@{given['project']}.iam.gserviceaccount.com"
            name = f"projects/{given['project']}/serviceAccounts/{email}"
            told |= {"id": name, "name": name, "email": email, "member": f"serviceAccount:{email}"}
        case "projects/serviceIdentity:ServiceIdentity":
            email = f"service-{asked.mark}@{given['service']}"
            told |= {"email": email, "member": f"serviceAccount:{email}"}
        case "filestore/instance:Instance":
            told["networks"] = [{"ipAddresses": ["10.44.255.2"]}]
    return told


def storage_agent() -> dict[str, Any]:
    """Who Cloud Storage is in the project of the example."""
    email = "service-123456789012@gs-project-accounts.iam.gserviceaccount.com"
    return {"id": email, "emailAddress": email, "member": f"serviceAccount:{email}", "project": "example-project"}


def refusal(token: str, inputs: Mapping[str, Any]) -> str | None:
    """Why Google, or the provider for it, would not delete it."""
    on = any(inputs.get(switch) is True for switch in ("deletionProtection", "deletionProtectionEnabled"))
    return "deletion protection is on" if on else None


REPLACE: Mapping[str, tuple[str, ...]] = {
    "compute/network:Network": ("name", "autoCreateSubnetworks"),
    "compute/subnetwork:Subnetwork": ("name", "network", "region", "secondaryIpRanges.rangeName"),
    "container/cluster:Cluster": (
        "name",
        "location",
        "project",
        "network",
        "subnetwork",
        "networkingMode",
        "datapathProvider",
        "ipAllocationPolicy",
        "initialNodeCount",
    ),
    "container/nodePool:NodePool": (
        "name",
        "cluster",
        "location",
        "project",
        "nodeConfig.diskType",
        "nodeConfig.spot",
        "nodeConfig.guestAccelerators",
        "nodeConfig.serviceAccount",
        "nodeConfig.flexStart",
    ),
    "filestore/instance:Instance": ("name", "location", "tier", "networks", "kmsKeyName", "protocol"),
    "kms/cryptoKey:CryptoKey": ("name", "keyRing", "purpose"),
    "kms/keyRing:KeyRing": ("name", "location", "project"),
    "artifactregistry/repository:Repository": ("repositoryId", "location", "project", "format", "kmsKeyName"),
    "serviceaccount/account:Account": ("accountId", "project"),
    "storage/bucket:Bucket": ("name", "location", "project"),
}
