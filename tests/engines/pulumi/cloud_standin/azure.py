"""What Azure answers, where a program or the contract wants the form of it."""

import base64
from collections.abc import Mapping
from typing import Any

from tests.engines.pulumi.cloud_standin.asked import SECRET, Asked, Kubernetes
from tests.engines.pulumi.cloud_standin.values import secret

_LOCK = "authorization:ManagementLockByScope"
_SCOPED = {
    "authorization:ManagementLockByScope": "{scope}/providers/Microsoft.Authorization/locks/{lockName}",
    "authorization:RoleAssignment": "{scope}/providers/Microsoft.Authorization/roleAssignments/{roleAssignmentName}",
    "authorization:RoleDefinition": "{scope}/providers/Microsoft.Authorization/roleDefinitions/{roleDefinitionId}",
    "consumption:Budget": "{scope}/providers/Microsoft.Consumption/budgets/{budgetName}",
    "monitor:DiagnosticSetting": "{resourceUri}/providers/microsoft.insights/diagnosticSettings/{name}",
    "security:Pricing": "/{scopeId}/providers/Microsoft.Security/pricings/{pricingName}",
}
_IN_GROUP = {
    "containerregistry:Registry": "ContainerRegistry/registries/{registryName}",
    "containerservice:AgentPool": "ContainerService/managedClusters/{resourceName}/agentPools/{agentPoolName}",
    "containerservice:ManagedCluster": "ContainerService/managedClusters/{resourceName}",
    "keyvault:Key": "KeyVault/vaults/{vaultName}/keys/{keyName}",
    "keyvault:Vault": "KeyVault/vaults/{vaultName}",
    "managedidentity:FederatedIdentityCredential": (
        "ManagedIdentity/userAssignedIdentities/{resourceName}/federatedIdentityCredentials/{federatedIdentityCredentialResourceName}"
    ),
    "managedidentity:UserAssignedIdentity": "ManagedIdentity/userAssignedIdentities/{resourceName}",
    "network:NatGateway": "Network/natGateways/{natGatewayName}",
    "network:NetworkSecurityGroup": "Network/networkSecurityGroups/{networkSecurityGroupName}",
    "network:PublicIPAddress": "Network/publicIPAddresses/{publicIpAddressName}",
    "network:Subnet": "Network/virtualNetworks/{virtualNetworkName}/subnets/{subnetName}",
    "network:VirtualNetwork": "Network/virtualNetworks/{virtualNetworkName}",
    "operationalinsights:Workspace": "OperationalInsights/workspaces/{workspaceName}",
    "storage:BlobContainer": "Storage/storageAccounts/{accountName}/blobServices/default/containers/{containerName}",
    "storage:BlobServiceProperties": "Storage/storageAccounts/{accountName}/blobServices/{blobServicesName}",
    "storage:FileShare": "Storage/storageAccounts/{accountName}/fileServices/default/shares/{shareName}",
    "storage:ManagementPolicy": "Storage/storageAccounts/{accountName}/managementPolicies/{managementPolicyName}",
    "storage:StorageAccount": "Storage/storageAccounts/{accountName}",
}


def answer(asked: Asked) -> dict[str, Any]:
    """The id, and what Azure adds to the inputs."""
    given = asked.inputs
    subscription = f"/subscriptions/{asked.settings['subscriptionId']}"
    if asked.kind == "resources:ResourceGroup":
        identity = f"{subscription}/resourceGroups/{given['resourceGroupName']}"
    elif scoped := _SCOPED.get(asked.kind):
        identity = scoped.format_map(given)
    else:
        identity = f"{subscription}/resourceGroups/{given['resourceGroupName']}/providers/Microsoft."
        identity += _IN_GROUP[asked.kind].format_map(given)
    name = identity.rpartition("/")[2]
    told: dict[str, Any] = {"id": identity, "name": name}
    match asked.kind:
        case "containerservice:ManagedCluster":
            told |= {
                "fqdn": asked.kubernetes.host,
                "privateFQDN": asked.kubernetes.host,
                "identityProfile": {"kubeletidentity": {"objectId": asked.uuid("kubelet")}},
                "oidcIssuerProfile": {"issuerURL": f"https://{given['location']}.oic.example.org/{asked.mark}/"},
            }
        case "containerregistry:Registry":
            told["loginServer"] = f"{name}.azurecr.io"
        case "keyvault:Vault":
            told["properties"] = {"vaultUri": f"https://{name}.vault.azure.net/"}
        case "keyvault:Key":
            uri = f"https://{given['vaultName']}.vault.azure.net/keys/{name}"
            told |= {"keyUri": uri, "keyUriWithVersion": f"{uri}/{asked.mark}"}
        case "managedidentity:UserAssignedIdentity":
            told |= {"clientId": asked.uuid("client"), "principalId": asked.uuid("principal")}
        case "network:PublicIPAddress":
            told["ipAddress"] = "198.51.100.20"
    return told


def locked(token: str, inputs: Mapping[str, Any]) -> str | None:
    """The id that a resource forbids to delete."""
    return inputs.get("scope") if token.endswith(_LOCK) else None


def user_credentials(kubernetes: Kubernetes) -> dict[str, Any]:
    """AKS's answer to listManagedClusterUserCredentials: a kubeconfig, with a login that must not stay anywhere."""
    config = f"clusters: [{{cluster: {{certificate-authority-data: {kubernetes.ca}}}}}]\nusers: [{{user: {{token: {SECRET}}}}}]\n"
    return {"kubeconfigs": [{"name": "clusterUser", "value": secret(base64.b64encode(config.encode()).decode())}]}


REPLACE: Mapping[str, tuple[str, ...]] = {
    "containerservice:ManagedCluster": (
        "location",
        "dnsPrefix",
        "networkProfile.networkPlugin",
        "networkProfile.podCidr",
        "networkProfile.serviceCidr",
        "networkProfile.dnsServiceIP",
    ),
    "containerservice:AgentPool": ("vmSize", "osDiskSizeGB", "vnetSubnetID", "scaleSetPriority", "availabilityZones", "gpuProfile"),
    "authorization:RoleAssignment": ("principalId", "roleDefinitionId"),
    "storage:StorageAccount": ("location", "kind", "encryption.requireInfrastructureEncryption"),
    "keyvault:Vault": ("location",),
    "keyvault:Key": ("properties",),
}
