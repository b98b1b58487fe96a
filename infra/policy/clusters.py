"""The cluster itself: who reaches its API, what its nodes may, what it writes down."""

import json
from collections.abc import Iterator

from infra.policy.reading import at, given, items, known, no, open_to_the_world
from infra.policy.rule import Resource, Rule, Stack, StackRule

EKS = "aws:eks/cluster:Cluster"
GKE = "gcp:container/cluster:Cluster"
AKS = "azure-native:containerservice:ManagedCluster"


def _open(ranges: list[str]) -> Iterator[str]:
    for each in ranges:
        if open_to_the_world(each):
            yield f"{each} may reach the API"


def _eks_api(cluster: Resource) -> Iterator[str]:
    access = at(cluster.props, "vpcConfig")
    if at(access, "endpointPublicAccess") is not False:
        yield from _open(known(access, "publicAccessCidrs") or ["0.0.0.0/0"])


def _gke_api(cluster: Resource) -> Iterator[str]:
    allowed = at(cluster.props, "masterAuthorizedNetworksConfig")
    if allowed is None and at(cluster.props, "privateClusterConfig", "enablePrivateEndpoint") is not True:
        yield "everybody may reach the API"
    yield from _open([at(each, "cidrBlock") for each in items(allowed, "cidrBlocks")])
    if at(allowed, "gcpPublicCidrsAccessEnabled") is True:
        yield "every customer of Google Cloud may reach the API"
    if at(cluster.props, "controlPlaneEndpointsConfig", "dnsEndpointConfig", "allowExternalTraffic") is True:
        yield "the API has a public DNS endpoint"


def _aks_api(cluster: Resource) -> Iterator[str]:
    access = at(cluster.props, "apiServerAccessProfile")
    if at(access, "enablePrivateCluster") is not True:
        if not given(access, "authorizedIPRanges"):
            yield "everybody may reach the API"
        yield from _open(known(access, "authorizedIPRanges"))
    if at(access, "disableRunCommand") is not True:
        yield "`az aks command invoke` reaches the API past its allow-list"


def _public_subnet(subnet: Resource) -> Iterator[str]:
    if at(subnet.props, "mapPublicIpOnLaunch") is True:
        yield "what starts in the subnet gets a public address"


def _public_launch(template: Resource) -> Iterator[str]:
    for each in items(template.props, "networkInterfaces"):
        if str(at(each, "associatePublicIpAddress")).casefold() == "true":
            yield "its nodes get public addresses"


def _gke_nodes(cluster: Resource) -> Iterator[str]:
    yield from no(at(cluster.props, "privateClusterConfig", "enablePrivateNodes"), "its nodes get public addresses")


def _aks_nodes(cluster: Resource) -> Iterator[str]:
    for pool in items(cluster.props, "agentPoolProfiles"):
        if at(pool, "enableNodePublicIP") is True:
            yield f"the nodes of {at(pool, 'name')} get public addresses"


def _aks_pool(pool: Resource) -> Iterator[str]:
    if at(pool.props, "enableNodePublicIP") is True:
        yield "its nodes get public addresses"


def _azure_subnet(subnet: Resource) -> Iterator[str]:
    if at(subnet.props, "defaultOutboundAccess") is not False:
        yield "what starts in the subnet gets a public address of Azure's choice"


def _eks_secrets(cluster: Resource) -> Iterator[str]:
    encryption = at(cluster.props, "encryptionConfig")
    if not given(encryption, "provider", "keyArn") or "secrets" not in items(encryption, "resources"):
        yield "Kubernetes secrets are not encrypted by the site's key"


def _gke_secrets(cluster: Resource) -> Iterator[str]:
    encryption = at(cluster.props, "databaseEncryption")
    if at(encryption, "state") != "ENCRYPTED" or not given(encryption, "keyName"):
        yield "Kubernetes secrets are not encrypted by the site's key"


def _aks_secrets(cluster: Resource) -> Iterator[str]:
    encryption = at(cluster.props, "securityProfile", "azureKeyVaultKms")
    if at(encryption, "enabled") is not True or not given(encryption, "keyId"):
        yield "Kubernetes secrets are not encrypted by the site's key"


def _eks_access(cluster: Resource) -> Iterator[str]:
    access = at(cluster.props, "accessConfig")
    if at(access, "authenticationMode") != "API":
        yield "the aws-auth ConfigMap gives rights beside the access entries"
    if at(access, "bootstrapClusterCreatorAdminPermissions") is not False:
        yield "whoever makes the cluster is its administrator for ever"


def _gke_access(cluster: Resource) -> Iterator[str]:
    if at(cluster.props, "enableLegacyAbac") is True:
        yield "attribute-based access stands beside RBAC"
    if at(cluster.props, "masterAuth", "clientCertificateConfig", "issueClientCertificate") is True:
        yield "the cluster issues a client certificate that nobody can revoke"


def _aks_access(cluster: Resource) -> Iterator[str]:
    yield from no(at(cluster.props, "disableLocalAccounts"), "the local administrator's certificate passes by Entra")
    yield from no(at(cluster.props, "enableRBAC"), "Kubernetes RBAC is off")


def _metadata(template: Resource) -> Iterator[str]:
    options = at(template.props, "metadataOptions")
    if at(options, "httpTokens") != "required" or at(options, "httpPutResponseHopLimit") != 1:
        yield "pods reach the node's credentials"


def _gke_identity(cluster: Resource) -> Iterator[str]:
    if not given(cluster.props, "workloadIdentityConfig", "workloadPool"):
        yield "pods have no identity but the node's"


def _gke_metadata(pool: Resource) -> Iterator[str]:
    if at(pool.props, "nodeConfig", "workloadMetadataConfig", "mode") != "GKE_METADATA":
        yield "pods reach the node's credentials"


def _aks_identity(cluster: Resource) -> Iterator[str]:
    yield from no(at(cluster.props, "securityProfile", "workloadIdentity", "enabled"), "pods have no identity but the node's")


def _eks_policies(addon: Resource) -> Iterator[str]:
    if at(addon.props, "addonName") == "vpc-cni":
        settings = json.loads(at(addon.props, "configurationValues") or "{}")
        if str(settings.get("enableNetworkPolicy")).casefold() != "true":
            yield "the network add-on does not enforce NetworkPolicies"


def _gke_policies(cluster: Resource) -> Iterator[str]:
    if at(cluster.props, "datapathProvider") != "ADVANCED_DATAPATH":
        yield "the cluster does not enforce NetworkPolicies"


def _aks_policies(cluster: Resource) -> Iterator[str]:
    if not given(cluster.props, "networkProfile", "networkPolicy"):
        yield "the cluster does not enforce NetworkPolicies"


def _eks_audit(cluster: Resource, _: Stack) -> Iterator[str]:
    if "audit" not in items(cluster.props, "enabledClusterLogTypes"):
        yield "the API's audit log is off"


def _gke_audit(_: Resource, stack: Stack) -> Iterator[str]:
    for each in stack.all("gcp:projects/iAMAuditConfig:IAMAuditConfig"):
        kinds = {at(log, "logType") for log in items(each.props, "auditLogConfigs")}
        if at(each.props, "service") == "container.googleapis.com" and kinds >= {"ADMIN_READ", "DATA_READ", "DATA_WRITE"}:
            return
    yield "the API's audit log of reads and writes is off"


def _aks_audit(_: Resource, stack: Stack) -> Iterator[str]:
    for each in stack.all("azure-native:monitor:DiagnosticSetting"):
        kinds = {at(log, "category") for log in items(each.props, "logs") if at(log, "enabled") is True}
        if kinds & {"kube-audit", "kube-audit-admin"} and given(each.props, "workspaceId"):
            return
    yield "the API's audit log goes nowhere"


RULES = (
    Rule(
        "POL101",
        "The cluster's API is reached from named networks only",
        "name the ranges of operators and Spinnaker under api.allow, or leave it empty for a private API",
        {EKS: _eks_api, GKE: _gke_api, AKS: _aks_api},
    ),
    Rule(
        "POL102",
        "Nodes have no public address",
        "put nodes into private subnets behind a NAT",
        {
            "aws:ec2/subnet:Subnet": _public_subnet,
            "aws:ec2/launchTemplate:LaunchTemplate": _public_launch,
            GKE: _gke_nodes,
            AKS: _aks_nodes,
            "azure-native:containerservice:AgentPool": _aks_pool,
            "azure-native:network:Subnet": _azure_subnet,
        },
    ),
    Rule(
        "POL103",
        "Kubernetes secrets are encrypted by the site's own key",
        "give the cluster the key of the site's key component",
        {EKS: _eks_secrets, GKE: _gke_secrets, AKS: _aks_secrets},
    ),
    Rule(
        "POL104",
        "Rights in the cluster come from the cloud's directory and RBAC alone",
        "turn off local accounts, client certificates and the creator's rights, and name the operators",
        {EKS: _eks_access, GKE: _gke_access, AKS: _aks_access},
    ),
    Rule(
        "POL105",
        "A pod has its own identity and does not reach its node's",
        "require IMDSv2 with one hop, GKE's metadata server, or Entra's workload identity",
        {
            "aws:ec2/launchTemplate:LaunchTemplate": _metadata,
            GKE: _gke_identity,
            "gcp:container/nodePool:NodePool": _gke_metadata,
            AKS: _aks_identity,
        },
    ),
    Rule(
        "POL106",
        "The cluster enforces NetworkPolicies",
        "turn on the cloud's own engine: vpc-cni's enableNetworkPolicy, Dataplane V2, Cilium",
        {"aws:eks/addon:Addon": _eks_policies, GKE: _gke_policies, AKS: _aks_policies},
    ),
    StackRule(
        "POL107",
        "The API's audit log is on and kept",
        "turn on the cloud's audit log of the Kubernetes API beside the cluster",
        {EKS: _eks_audit, GKE: _gke_audit, AKS: _aks_audit},
    ),
)
