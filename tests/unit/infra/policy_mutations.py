"""What breaks each rule: one change of a real program's recorded resource for each rule and type of resource that it checks."""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from infra.policy.rule import Resource
from infra.policy.storage import HOLDS_DATA

Change = Callable[[Resource], Resource | None]
WORLD = "0.0.0.0/0"


@dataclass(frozen=True)
class Mutation:
    """``change`` of the resource ``kind::name`` (a new one where there is none) breaks the rule ``code`` for a ``found``."""

    code: str
    program: str
    kind: str
    name: str
    change: Change
    found: str = ""

    @property
    def where(self) -> str:
        return self.found or self.kind

    def __str__(self) -> str:
        return f"{self.code}-{self.program}-{self.kind.split(':')[-1]}-{self.name}"


def put(value: Any, *path: str | int) -> Change:
    def change(resource: Resource) -> Resource:
        here: Any = resource.props
        for key in path[:-1]:
            here = here.setdefault(key, {}) if isinstance(here, dict) else here[key]
        here[path[-1]] = value
        return resource

    return change


def take(*path: str | int) -> Change:
    def change(resource: Resource) -> Resource:
        here: Any = resource.props
        for key in path[:-1]:
            here = here[key]
        del here[path[-1]]
        return resource

    return change


def document(key: str, edit: Callable[[list[dict[str, Any]]], Any]) -> Change:
    """A change of the statements of an AWS policy document."""

    def change(resource: Resource) -> Resource:
        whole = json.loads(resource.props[key])
        edit(whole["Statement"])
        return put(json.dumps(whole), key)(resource)

    return change


def drop(_: Resource) -> None:
    return None


def drop_one(direction: str) -> Change:
    """A policy that no longer denies one direction."""

    def change(resource: Resource) -> Resource:
        resource.props["spec"]["policyTypes"].remove(direction)
        return resource

    return change


def unprotected(resource: Resource) -> Resource:
    return dataclasses.replace(resource, protect=False)


def by_default(resource: Resource) -> Resource:
    return dataclasses.replace(resource, provider="default_7_51_0")


def _data(kind: str) -> tuple[str, str]:
    names = {
        "Repository": "registry",
        "Cluster": "cluster",
        "LogGroup": "cluster",
        "Workspace": "cluster",
        "ManagedCluster": "cluster",
    }
    names |= {"FileSystem": "files", "Instance": "files", "FileShare": "files", "Bucket": "store", "StorageAccount": "store"}
    names |= {"BlobContainer": "store", "Registry": "registry", "ResourceGroup": "site"}
    names |= {"PersistentVolumeClaim": "postgres-data"}
    cloud = {"aws": "aws", "gcp": "gcp", "azure-native": "azure", "kubernetes": "postgres"}[kind.split(":")[0]]
    name = names.get(kind.split(":")[-1], "key")
    return cloud, "registry-trainer" if kind.startswith("aws:ecr") else name


EKS, GKE, AKS = "aws:eks/cluster:Cluster", "gcp:container/cluster:Cluster", "azure-native:containerservice:ManagedCluster"
EKS_POOL, GKE_POOL = "aws:eks/nodeGroup:NodeGroup", "gcp:container/nodePool:NodePool"
AKS_POOL = "azure-native:containerservice:AgentPool"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
S3, GCS, ACCOUNT = "aws:s3/bucket:Bucket", "gcp:storage/bucket:Bucket", "azure-native:storage:StorageAccount"
ECR, GAR = "aws:ecr/repository:Repository", "gcp:artifactregistry/repository:Repository"
ACR = "azure-native:containerregistry:Registry"
EFS, FILESTORE, LOGS = "aws:efs/fileSystem:FileSystem", "gcp:filestore/instance:Instance", "aws:cloudwatch/logGroup:LogGroup"
IAM_ROLE, IAM_POLICY = "aws:iam/role:Role", "aws:iam/rolePolicy:RolePolicy"
GCP_MEMBER, ASSIGNMENT = "gcp:projects/iAMMember:IAMMember", "azure-native:authorization:RoleAssignment"
BUCKET_MEMBER, GCP_ROLE = "gcp:storage/bucketIAMMember:BucketIAMMember", "gcp:projects/iAMCustomRole:IAMCustomRole"
BUCKET_TLS, BUCKET_BLOCK = "aws:s3/bucketPolicy:BucketPolicy", "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
DISKS = "kubernetes:storage.k8s.io/v1:StorageClass"
BUCKET_KEY = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
BUCKET_VERSIONS = "aws:s3/bucketVersioning:BucketVersioning"
BUCKET_ENDS = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
CONTRIBUTOR = "/providers/Microsoft.Authorization/roleDefinitions/b24988ac-6180-42a0-ab88-20f7382dd24c"

CLUSTERS = [
    Mutation("POL101", "aws", EKS, "cluster", put([WORLD], "vpcConfig", "publicAccessCidrs")),
    Mutation("POL101", "aws", EKS, "cluster", take("vpcConfig", "publicAccessCidrs")),
    Mutation("POL101", "gcp", GKE, "cluster", put([{"cidrBlock": WORLD}], "masterAuthorizedNetworksConfig", "cidrBlocks")),
    Mutation("POL101", "gcp", GKE, "cluster", take("masterAuthorizedNetworksConfig")),
    Mutation("POL101", "gcp", GKE, "cluster", put(True, "masterAuthorizedNetworksConfig", "gcpPublicCidrsAccessEnabled")),
    Mutation(
        "POL101", "gcp", GKE, "cluster", put(True, "controlPlaneEndpointsConfig", "dnsEndpointConfig", "allowExternalTraffic")
    ),
    Mutation("POL101", "azure", AKS, "cluster", put([WORLD], "apiServerAccessProfile", "authorizedIPRanges")),
    Mutation("POL101", "azure", AKS, "cluster", take("apiServerAccessProfile", "authorizedIPRanges")),
    Mutation("POL101", "azure", AKS, "cluster", take("apiServerAccessProfile", "disableRunCommand")),
    Mutation("POL102", "aws", "aws:ec2/subnet:Subnet", "network-private-euc1-az1", put(True, "mapPublicIpOnLaunch")),
    Mutation("POL102", "aws", TEMPLATE, "l4", put([{"associatePublicIpAddress": "true"}], "networkInterfaces")),
    Mutation("POL102", "gcp", GKE, "cluster", put(False, "privateClusterConfig", "enablePrivateNodes")),
    Mutation("POL102", "azure", AKS, "cluster", put(True, "agentPoolProfiles", 0, "enableNodePublicIP")),
    Mutation("POL102", "azure", AKS_POOL, "a100", put(True, "enableNodePublicIP")),
    Mutation("POL102", "azure", "azure-native:network:Subnet", "network", take("defaultOutboundAccess")),
    Mutation("POL103", "aws", EKS, "cluster", take("encryptionConfig")),
    Mutation("POL103", "gcp", GKE, "cluster", put("DECRYPTED", "databaseEncryption", "state")),
    Mutation("POL103", "azure", AKS, "cluster", take("securityProfile", "azureKeyVaultKms", "keyId")),
    Mutation("POL104", "aws", EKS, "cluster", put("API_AND_CONFIG_MAP", "accessConfig", "authenticationMode")),
    Mutation("POL104", "aws", EKS, "cluster", take("accessConfig", "bootstrapClusterCreatorAdminPermissions")),
    Mutation("POL104", "gcp", GKE, "cluster", put(True, "masterAuth", "clientCertificateConfig", "issueClientCertificate")),
    Mutation("POL104", "gcp", GKE, "cluster", put(True, "enableLegacyAbac")),
    Mutation("POL104", "azure", AKS, "cluster", put(False, "disableLocalAccounts")),
    Mutation("POL104", "azure", AKS, "cluster", put(False, "enableRBAC")),
    Mutation("POL105", "aws", TEMPLATE, "system", put("optional", "metadataOptions", "httpTokens")),
    Mutation("POL105", "gcp", GKE, "cluster", take("workloadIdentityConfig")),
    Mutation("POL105", "gcp", GKE_POOL, "l4", put("GCE_METADATA", "nodeConfig", "workloadMetadataConfig", "mode")),
    Mutation("POL105", "azure", AKS, "cluster", take("securityProfile", "workloadIdentity")),
    Mutation("POL106", "aws", "aws:eks/addon:Addon", "node-addons-vpc-cni", take("configurationValues")),
    Mutation("POL106", "gcp", GKE, "cluster", take("datapathProvider")),
    Mutation("POL106", "azure", AKS, "cluster", take("networkProfile", "networkPolicy")),
    Mutation("POL107", "aws", EKS, "cluster", put(["api"], "enabledClusterLogTypes")),
    Mutation("POL107", "gcp", "gcp:projects/iAMAuditConfig:IAMAuditConfig", "cluster", drop, GKE),
    Mutation("POL107", "azure", "azure-native:monitor:DiagnosticSetting", "cluster", drop, AKS),
    Mutation("POL107", "azure", "azure-native:monitor:DiagnosticSetting", "cluster", put(False, "logs", 1, "enabled"), AKS),
]
NETWORKS = [
    Mutation("POL111", "aws", "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", "files", put(WORLD, "cidrIpv4")),
    Mutation("POL111", "aws", "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", "files", put("::/0", "cidrIpv6")),
    Mutation("POL111", "aws", "aws:ec2/securityGroup:SecurityGroup", "files", put([{"cidrBlocks": [WORLD]}], "ingress")),
    Mutation(
        "POL111", "aws", "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup", "network", put([{"cidrBlocks": [WORLD]}], "ingress")
    ),
    Mutation("POL111", "gcp", "gcp:compute/firewall:Firewall", "new", put([{"protocol": "tcp"}], "allows")),
    Mutation(
        "POL111",
        "azure",
        "azure-native:network:NetworkSecurityGroup",
        "network",
        put([{"direction": "Inbound", "access": "Allow", "sourceAddressPrefix": "*"}], "securityRules"),
    ),
]
STORAGE = [
    Mutation("POL121", "azure", ACCOUNT, "store", put(False, "enableHttpsTrafficOnly")),
    Mutation("POL121", "azure", ACCOUNT, "store", put("TLS1_0", "minimumTlsVersion")),
    Mutation("POL121", "azure", ACCOUNT, "files", put("Allow", "networkRuleSet", "defaultAction")),
    Mutation("POL122", "aws", BUCKET_TLS, "store", drop, S3),
    Mutation("POL122", "aws", BUCKET_TLS, "store", document("policy", lambda each: each.pop(0)), S3),
    Mutation(
        "POL122", "aws", "aws:efs/fileSystemPolicy:FileSystemPolicy", "files", document("policy", lambda each: each.pop()), EFS
    ),
    Mutation("POL123", "gcp", GCS, "store", put("inherited", "publicAccessPrevention")),
    Mutation("POL123", "gcp", GCS, "store", put(False, "uniformBucketLevelAccess")),
    Mutation("POL123", "azure", ACCOUNT, "store", put(True, "allowBlobPublicAccess")),
    Mutation("POL123", "azure", ACCOUNT, "store", take("allowSharedKeyAccess")),
    Mutation("POL123", "azure", "azure-native:storage:BlobContainer", "store", put("Blob", "publicAccess")),
    Mutation("POL124", "aws", BUCKET_BLOCK, "store", drop, S3),
    Mutation("POL124", "aws", BUCKET_BLOCK, "store", put(False, "restrictPublicBuckets"), S3),
    Mutation("POL125", "aws", EFS, "files", take("kmsKeyId")),
    Mutation("POL125", "aws", ECR, "registry-trainer", take("encryptionConfigurations")),
    Mutation("POL125", "aws", LOGS, "cluster", take("kmsKeyId")),
    Mutation("POL125", "aws", TEMPLATE, "l4", put("false", "blockDeviceMappings", 0, "ebs", "encrypted")),
    Mutation("POL125", "gcp", GCS, "store", take("encryption")),
    Mutation("POL125", "gcp", FILESTORE, "files", take("kmsKeyName")),
    Mutation("POL125", "gcp", GAR, "registry", take("kmsKeyName")),
    Mutation("POL125", "gcp", GKE_POOL, "l4", take("nodeConfig", "bootDiskKmsKey")),
    Mutation("POL125", "azure", ACCOUNT, "files", put("Microsoft.Storage", "encryption", "keySource")),
    Mutation("POL125", "azure", ACR, "registry", put("disabled", "encryption", "status")),
    Mutation("POL125", "postgres", DISKS, "postgres-disks", take("parameters", "encrypted")),
    Mutation("POL126", "aws", BUCKET_KEY, "store", take("rules", 0, "applyServerSideEncryptionByDefault", "kmsMasterKeyId"), S3),
    Mutation("POL127", "gcp", GCS, "store", take("versioning")),
    Mutation("POL128", "aws", BUCKET_VERSIONS, "store", put("Suspended", "versioningConfiguration", "status"), S3),
    Mutation("POL128", "azure", "azure-native:storage:BlobServiceProperties", "store", put(False, "isVersioningEnabled"), ACCOUNT),
    Mutation("POL129", "gcp", GCS, "store", take("lifecycleRules")),
    Mutation("POL130", "aws", BUCKET_ENDS, "store", put("Disabled", "rules", 0, "status"), S3),
    Mutation("POL130", "azure", "azure-native:storage:ManagementPolicy", "store", drop, ACCOUNT),
    *(Mutation("POL131", cloud, kind, name, unprotected) for kind in HOLDS_DATA for cloud, name in [_data(kind)]),
    Mutation("POL132", "aws", S3, "store", put(True, "forceDestroy")),
    Mutation("POL132", "gcp", GCS, "store", put(True, "forceDestroy")),
    Mutation("POL132", "aws", ECR, "registry-trainer", put(True, "forceDelete")),
    Mutation("POL132", "postgres", DISKS, "postgres-disks", put("Delete", "reclaimPolicy")),
    Mutation("POL133", "aws", "aws:kms/key:Key", "key", put(False, "enableKeyRotation")),
    Mutation("POL133", "aws", "aws:kms/key:Key", "key", put(7.0, "deletionWindowInDays")),
    Mutation("POL133", "gcp", "gcp:kms/cryptoKey:CryptoKey", "key", take("rotationPeriod")),
    Mutation("POL133", "azure", "azure-native:keyvault:Vault", "key", take("properties", "enablePurgeProtection")),
    Mutation("POL133", "azure", "azure-native:keyvault:Key", "key", take("properties", "rotationPolicy")),
]
REGISTRIES = [
    Mutation("POL141", "aws", ECR, "registry-trainer", put("MUTABLE", "imageTagMutability")),
    Mutation("POL141", "aws", ECR, "registry-trainer", put("*", "imageTagMutabilityExclusionFilters", 0, "filter")),
    Mutation("POL141", "gcp", GAR, "registry", put(False, "dockerConfig", "immutableTags")),
    Mutation("POL142", "aws", ECR, "registry-console", put(False, "imageScanningConfiguration", "scanOnPush")),
    Mutation("POL142", "gcp", GAR, "registry", put("DISABLED", "vulnerabilityScanningConfig", "enablementConfig")),
    Mutation("POL143", "azure", "azure-native:security:Pricing", "registry", put("Free", "pricingTier"), ACR),
    Mutation("POL143", "azure", "azure-native:security:Pricing", "registry", take("extensions"), ACR),
    Mutation("POL144", "azure", ACR, "registry", put(True, "adminUserEnabled")),
    Mutation("POL144", "azure", ACR, "registry", put(True, "anonymousPullEnabled")),
    Mutation("POL145", "aws", "aws:ecr/lifecyclePolicy:LifecyclePolicy", "registry-console", drop, ECR),
    Mutation("POL145", "gcp", GAR, "registry", put(True, "cleanupPolicyDryRun")),
    Mutation("POL145", "azure", ACR, "registry", put("disabled", "policies", "retentionPolicy", "status")),
]
IDENTITIES = [
    Mutation("POL151", "aws", IAM_POLICY, "trainer", document("policy", lambda each: each[0].update(Action=["s3:*"]))),
    Mutation("POL151", "aws", IAM_POLICY, "trainer", document("policy", lambda each: each[0].update(NotAction="iam:*"))),
    Mutation(
        "POL151",
        "aws",
        "aws:iam/policy:Policy",
        "new",
        put(json.dumps({"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}), "policy"),
    ),
    Mutation(
        "POL151",
        "azure",
        "azure-native:authorization:RoleDefinition",
        "trainer",
        put(["Microsoft.Storage/*"], "permissions", 0, "dataActions"),
    ),
    Mutation("POL151", "gcp", GCP_MEMBER, "node", put("roles/editor", "role")),
    Mutation("POL151", "azure", ASSIGNMENT, "key-stores", put(CONTRIBUTOR, "roleDefinitionId")),
    Mutation("POL152", "aws", IAM_ROLE, "spinnaker", document("assumeRolePolicy", lambda each: each[0].update(Principal="*"))),
    Mutation(
        "POL152", "aws", IAM_ROLE, "spinnaker", document("assumeRolePolicy", lambda each: each[0].update(Principal={"AWS": "*"}))
    ),
    Mutation("POL152", "gcp", GCP_MEMBER, "node", put("allUsers", "member")),
    Mutation("POL152", "gcp", BUCKET_MEMBER, "trainer-objectViewer", put("allAuthenticatedUsers", "member")),
    Mutation(
        "POL152", "gcp", "gcp:artifactregistry/repositoryIamMember:RepositoryIamMember", "registry", put("allUsers", "member")
    ),
    Mutation("POL152", "gcp", "gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember", "key-storage", put("allUsers", "member")),
    Mutation("POL152", "gcp", "gcp:serviceaccount/iAMMember:IAMMember", "spinnaker", put("allUsers", "member")),
    Mutation("POL153", "aws", IAM_POLICY, "spinnaker", document("policy", lambda each: each[0]["Action"].append("s3:GetObject"))),
    Mutation("POL153", "gcp", GCP_ROLE, "spinnaker", put(["container.clusters.get", "container.pods.exec"], "permissions")),
    Mutation("POL153", "gcp", GCP_MEMBER, "spinnaker", put("roles/container.developer", "role")),
    Mutation("POL153", "gcp", GCP_MEMBER, "spinnaker", take("condition")),
    Mutation("POL153", "azure", ASSIGNMENT, "spinnaker", put(CONTRIBUTOR, "roleDefinitionId")),
    Mutation(
        "POL154", "aws", IAM_POLICY, "trainer", document("policy", lambda each: each[0].update(Resource=["arn:aws:s3:::b/*"]))
    ),
    Mutation("POL154", "gcp", BUCKET_MEMBER, "trainer-objectCreator", take("condition")),
    Mutation("POL154", "azure", ASSIGNMENT, "trainer", take("condition")),
]
POOLS = [
    Mutation("POL161", "aws", EKS_POOL, "l4", put(1.0, "scalingConfig", "minSize")),
    Mutation("POL161", "gcp", GKE_POOL, "l4", put(1.0, "autoscaling", "totalMinNodeCount")),
    Mutation("POL161", "azure", AKS_POOL, "a100", put(1.0, "minCount")),
    Mutation("POL162", "aws", EKS_POOL, "l4", take("taints")),
    Mutation("POL162", "gcp", GKE_POOL, "l4", put("PREFER_NO_SCHEDULE", "nodeConfig", "taints", 0, "effect")),
    Mutation("POL162", "azure", AKS_POOL, "a10spot", put(["kubernetes.azure.com/scalesetpriority=spot:NoSchedule"], "nodeTaints")),
    Mutation("POL163", "aws", EKS_POOL, "l4", take("labels", "lorafleet/gpu")),
    Mutation("POL163", "gcp", GKE_POOL, "l4", take("nodeConfig", "labels", "lorafleet/capacity")),
    Mutation("POL163", "azure", AKS_POOL, "a100", take("nodeLabels")),
    Mutation("POL164", "aws", EKS_POOL, "l4-spot", put(7.0, "scalingConfig", "maxSize")),
    Mutation("POL164", "gcp", GKE_POOL, "h100-flex", put(3.0, "autoscaling", "totalMaxNodeCount")),
    Mutation("POL164", "gcp", GKE_POOL, "l4", take("autoscaling", "totalMaxNodeCount")),
    Mutation("POL164", "azure", AKS_POOL, "a100", put(3.0, "maxCount")),
]
ACCOUNTS = [
    Mutation("POL171", "aws", S3, "store", by_default, "*"),
    Mutation("POL172", "aws", "pulumi:providers:aws", "aws", take("defaultTags")),
    Mutation("POL172", "gcp", "pulumi:providers:gcp", "gcp", take("defaultLabels")),
    Mutation("POL172", "azure", "azure-native:resources:ResourceGroup", "site", take("tags")),
    Mutation("POL173", "aws", "aws:budgets/budget:Budget", "budget", drop, EKS),
    Mutation("POL173", "gcp", "gcp:billing/budget:Budget", "budget", drop, GKE),
    Mutation("POL173", "azure", "azure-native:consumption:Budget", "budget", drop, AKS),
    Mutation("POL174", "aws", "pulumi:pulumi:Stack", "stack", put("apiVersion: v1", "kubeconfig")),
    Mutation("POL174", "aws", "pulumi:pulumi:Stack", "stack", put({"ca": "-----BEGIN PRIVATE KEY-----"}, "more")),
]
K8S = "kubernetes:core/v1"
NAMESPACE, POD = f"{K8S}:Namespace", f"{K8S}:Pod"
STATEFUL_SET, CRON_JOB = "kubernetes:apps/v1:StatefulSet", "kubernetes:batch/v1:CronJob"
RBAC = "kubernetes:rbac.authorization.k8s.io/v1"
OF_STATEFUL_SET, OF_CRON_JOB = ("spec", "template", "spec"), ("spec", "jobTemplate", "spec", "template", "spec")
TEMPLATES = {
    POD: ("spec",),
    "kubernetes:apps/v1:Deployment": OF_STATEFUL_SET,
    "kubernetes:apps/v1:DaemonSet": OF_STATEFUL_SET,
    "kubernetes:batch/v1:Job": OF_STATEFUL_SET,
}
LOOSE = {"containers": [{"name": "c", "image": "docker.io/library/redis:8"}]}
ALL_BUT = {
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def _without(key: str) -> dict[str, Any]:
    context = {name: value for name, value in ALL_BUT.items() if name != key}
    return {"containers": [{"name": "c", "securityContext": context}]}


def _namespace(**labels: str) -> Change:
    return put({"name": "new", "labels": {f"pod-security.kubernetes.io/{key}": value for key, value in labels.items()}}, "metadata")


WORKLOADS = [
    *(Mutation("POL181", "postgres", kind, "new", put(LOOSE, *path)) for kind, path in TEMPLATES.items()),
    Mutation("POL181", "postgres", STATEFUL_SET, "postgres", put("postgres:17", *OF_STATEFUL_SET, "containers", 1, "image")),
    Mutation("POL181", "postgres", CRON_JOB, "postgres-dump", put("postgres:17", *OF_CRON_JOB, "containers", 0, "image")),
    *(Mutation("POL182", "postgres", kind, "new", put(LOOSE, *path)) for kind, path in TEMPLATES.items()),
    Mutation("POL182", "postgres", STATEFUL_SET, "postgres", take(*OF_STATEFUL_SET, "containers", 0, "resources", "limits")),
    Mutation("POL182", "postgres", CRON_JOB, "postgres-dump", take(*OF_CRON_JOB, "containers", 0, "resources", "requests")),
    *(Mutation("POL183", "postgres", kind, "new", put(LOOSE, *path)) for kind, path in TEMPLATES.items()),
    Mutation("POL183", "postgres", STATEFUL_SET, "postgres", put({**LOOSE}, *OF_STATEFUL_SET)),
    Mutation("POL183", "postgres", CRON_JOB, "postgres-dump", put({**LOOSE}, *OF_CRON_JOB)),
    Mutation("POL184", "postgres", NAMESPACE, "new", _namespace(enforce="baseline")),
    Mutation("POL184", "postgres", NAMESPACE, "new", _namespace(warn="restricted")),
    *(Mutation("POL185", "postgres", kind, "new", put(_without("capabilities"), *path)) for kind, path in TEMPLATES.items()),
    *(Mutation("POL185", "postgres", POD, "new", put(_without(key), "spec")) for key in ALL_BUT),
    *(
        Mutation("POL185", "postgres", STATEFUL_SET, "postgres", put(True, *OF_STATEFUL_SET, key))
        for key in ("hostNetwork", "hostPID", "hostIPC")
    ),
    Mutation("POL185", "postgres", STATEFUL_SET, "postgres", put([{"hostPath": {"path": "/"}}], *OF_STATEFUL_SET, "volumes")),
    Mutation("POL185", "postgres", CRON_JOB, "postgres-dump", take(*OF_CRON_JOB, "securityContext", "seccompProfile")),
    *(
        Mutation("POL186", "postgres", "kubernetes:networking.k8s.io/v1:NetworkPolicy", "postgres-deny", change, NAMESPACE)
        for change in (drop_one("Egress"), drop_one("Ingress"))
    ),
    Mutation("POL187", "postgres", f"{K8S}:ResourceQuota", "postgres-room", drop, NAMESPACE),
    Mutation("POL188", "postgres", f"{K8S}:Service", "postgres-peer", take("spec", "loadBalancerSourceRanges")),
    Mutation("POL188", "postgres", f"{K8S}:Service", "postgres-peer", put([WORLD], "spec", "loadBalancerSourceRanges")),
    Mutation("POL188", "postgres", f"{K8S}:Service", "postgres", put("NodePort", "spec", "type")),
    Mutation("POL189", "local-incluster", "kubernetes:helm.sh/v3:Release", "keda", take("version")),
]
SPINNAKER = f"{RBAC}:Role", "spinnaker"
RIGHTS = [
    Mutation(
        "POL194",
        "gcp-incluster",
        *SPINNAKER,
        put([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}], "rules"),
        f"{RBAC}:RoleBinding",
    ),
    Mutation(
        "POL194",
        "local-incluster",
        f"{RBAC}:ClusterRoleBinding",
        "new",
        put([{"kind": "ServiceAccount", "name": "spinnaker", "namespace": "spinnaker"}], "subjects"),
    ),
    *(
        Mutation("POL191", "postgres", f"{RBAC}:{kind}", "new", put([{key: ["*"]}], "rules"))
        for kind in ("Role", "ClusterRole")
        for key in ("verbs", "resources", "apiGroups")
    ),
    *(
        Mutation("POL192", "postgres", f"{RBAC}:{kind}", "new", put([{"resources": ["roles"], "verbs": [verb]}], "rules"))
        for kind in ("Role", "ClusterRole")
        for verb in ("bind", "escalate", "impersonate")
    ),
    Mutation("POL192", "postgres", f"{RBAC}:Role", "new", put([{"resources": ["pods/exec"], "verbs": ["create"]}], "rules")),
    *(
        Mutation("POL193", "postgres", f"{RBAC}:{kind}", "new", put({"kind": "ClusterRole", "name": "cluster-admin"}, "roleRef"))
        for kind in ("RoleBinding", "ClusterRoleBinding")
    ),
]
MUTATIONS = [*CLUSTERS, *NETWORKS, *STORAGE, *REGISTRIES, *IDENTITIES, *POOLS, *ACCOUNTS, *WORKLOADS, *RIGHTS]
