"""What a cloud would answer: every output that the SDK declares, with a value of its type."""

import base64
from typing import Any

from pulumi._types import is_output_type
from pulumi.runtime import rpc
from pulumi.runtime.rpc import UNKNOWN
from sdk_types import alternatives, element, is_enum, is_list, is_mapping, outputs_of, resource_class

ACCOUNT = "123456789012"
CA = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nexample\n-----END CERTIFICATE-----\n").decode()
KUBECONFIG = base64.b64encode(f"clusters: [{{cluster: {{certificate-authority-data: {CA}}}}}]".encode()).decode()


def secret(value: str) -> dict[str, str]:
    """A value as the engine sends what a provider marks secret; one of them makes a whole output secret."""
    return {rpc._special_sig_key: rpc._special_secret_sig, "value": value}


def invented(token: str, name: str, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The id and the state of a resource with these inputs."""
    own = _known_answers(token, name, {key: value for key, value in inputs.items() if value is not None})
    return own.pop("id", f"{name}-id"), {**declared(token, name, inputs), **own}


def declared(token: str, name: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """The state that the SDK's types promise of a resource with these inputs, every other value invented."""
    state = {key: _value(f"{name}.{key}", annotation) for key, annotation in outputs_of(resource_class(token)).items()}
    told: dict[str, Any] = merged(state, {key: value for key, value in inputs.items() if value is not None})
    return told


def unknown_until_made(token: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """The state in a first preview: the inputs, and everything that the cloud adds is not known yet."""
    state = {key: _unknown(_value(key, annotation)) for key, annotation in outputs_of(resource_class(token)).items()}
    told: dict[str, Any] = merged(state, {key: value for key, value in inputs.items() if value is not None})
    return told


def _unknown(value: Any) -> Any:
    if isinstance(value, dict) and value:
        return {key: _unknown(each) for key, each in value.items()}
    if isinstance(value, list) and value:
        return [_unknown(each) for each in value]
    return UNKNOWN


def merged(answer: Any, given: Any) -> Any:
    """What is given, at any depth, within an answer."""
    if isinstance(answer, dict) and isinstance(given, dict):
        return {**answer, **{key: merged(answer.get(key), value) for key, value in given.items()}}
    if isinstance(answer, list) and isinstance(given, list) and answer:
        return [merged(answer[0], value) for value in given]
    # Some inputs are lists where the answer is a mapping.
    other_kind = isinstance(answer, dict | list) and type(answer) is not type(given)
    return answer if other_kind or (answer == UNKNOWN and isinstance(given, list)) else given


def _value(label: str, annotation: Any, depth: int = 0) -> Any:
    for kind in alternatives(annotation):
        if kind is str:
            return label
        if kind is bool:
            return False
        if kind in (int, float):
            return 1
        if is_enum(kind):
            return next(iter(kind)).value
        if is_list(kind):
            return [_value(label, element(kind), depth + 1)] if depth < 4 else []
        if is_mapping(kind):
            return {}
        if isinstance(kind, type) and is_output_type(kind) and depth < 4:
            return {key: _value(f"{label}.{key}", each, depth + 1) for key, each in outputs_of(kind).items()}
    return None


def _known_answers(token: str, name: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """Where the contract wants the form that the cloud's real answer has."""
    match token:
        case "aws:eks/cluster:Cluster":
            cluster = inputs["name"]
            return {
                "id": cluster,
                "arn": f"arn:aws:eks:eu-central-1:{ACCOUNT}:cluster/{cluster}",
                "endpoint": "https://0123456789ABCDEF.gr7.eu-central-1.eks.amazonaws.com",
                "certificateAuthority": {"data": CA},
            }
        case "aws:ecr/repository:Repository":
            return {"repositoryUrl": f"{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com/{inputs['name']}"}
        case "aws:s3/bucket:Bucket":
            return {"id": inputs["bucket"], "arn": f"arn:aws:s3:::{inputs['bucket']}"}
        case "aws:iam/role:Role":
            return {"name": name, "arn": f"arn:aws:iam::{ACCOUNT}:role/{name}"}
        case "gcp:container/cluster:Cluster":
            path = f"projects/example-project/locations/us-west1/clusters/{inputs['name']}"
            return {
                "id": path,
                "selfLink": f"https://container.googleapis.com/v1/{path}",
                "endpoint": "198.51.100.7",
                "masterAuth": {"clusterCaCertificate": CA, "clientKey": secret("a key")},
            }
        case "gcp:serviceaccount/account:Account":
            email = f"{inputs['accountId']}@example-project.iam.gserviceaccount.com"
            path = f"projects/example-project/serviceAccounts/{email}"
            return {"id": path, "name": path, "email": email, "member": f"serviceAccount:{email}"}
        case "azure-native:containerservice:ManagedCluster":
            return {
                "id": _azure_id("Microsoft.ContainerService/managedClusters", inputs["resourceName"]),
                "name": inputs["resourceName"],
                "fqdn": "example-0123.hcp.westeurope.azmk8s.io",
                "privateFQDN": "example-0123.privatelink.westeurope.azmk8s.io",
                "identityProfile": {"kubeletidentity": {"objectId": "kubelet-object-id"}},
                "oidcIssuerProfile": {"enabled": True, "issuerURL": "https://westeurope.oic.prod-aks.azure.com/example/"},
            }
        case "azure-native:resources:ResourceGroup":
            return {"id": f"/subscriptions/s/resourceGroups/{inputs['resourceGroupName']}", "name": inputs["resourceGroupName"]}
        case "azure-native:containerregistry:Registry":
            return {"loginServer": f"{inputs['registryName']}.azurecr.io", "name": inputs["registryName"]}
        case "azure-native:storage:StorageAccount":
            return {"id": _azure_id("Microsoft.Storage/storageAccounts", inputs["accountName"]), "name": inputs["accountName"]}
        case "azure-native:storage:BlobContainer":
            return {"name": inputs["containerName"]}
        case "azure-native:storage:FileShare":
            return {"name": inputs["shareName"]}
        case "azure-native:managedidentity:UserAssignedIdentity":
            identity = f"00000000-0000-0000-0000-{sum(name.encode()):012d}"
            path = _azure_id("Microsoft.ManagedIdentity/userAssignedIdentities", inputs["resourceName"])
            return {"id": path, "name": inputs["resourceName"], "clientId": identity, "principalId": identity}
    return {}


def _azure_id(kind: str, name: str) -> str:
    return f"/subscriptions/s/resourceGroups/g/providers/{kind}/{name}"
