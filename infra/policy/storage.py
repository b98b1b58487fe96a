"""What holds data: private, over TLS, under the site's own key, with its history, and not deleted by a slip."""

from collections.abc import Callable, Iterator

from infra.policy.reading import at, given, items, no, statements, texts
from infra.policy.rule import Check, Resource, Rule, Stack, StackCheck, StackRule

S3 = "aws:s3/bucket:Bucket"
EFS = "aws:efs/fileSystem:FileSystem"
GCS = "gcp:storage/bucket:Bucket"
ACCOUNT = "azure-native:storage:StorageAccount"
DISKS = "kubernetes:storage.k8s.io/v1:StorageClass"
CONTAINER = "azure-native:storage:BlobContainer"
_KEY = "give it the key of the site's key component"


def _refuses_plain(resource: Resource) -> bool:
    for each in statements(resource.props, "policy"):
        condition = each.get("Condition", {}).get("Bool", {})
        everything = any(action.endswith("*") for action in texts(each.get("Action")))
        if each["Effect"] == "Deny" and everything and condition.get("aws:SecureTransport") == "false":
            return True
    return False


def _of_bucket(kind: str, well: Callable[[Resource], bool], what: str) -> StackCheck:
    """A bucket's setting that is a resource of its own."""

    def check(bucket: Resource, stack: Stack) -> Iterator[str]:
        name = at(bucket.props, "bucket")
        if not any(at(each.props, "bucket") == name and well(each) for each in stack.all(kind)):
            yield what

    return check


def _efs_tls(files: Resource, stack: Stack) -> Iterator[str]:
    if not any(_refuses_plain(each) for each in stack.all("aws:efs/fileSystemPolicy:FileSystemPolicy")):
        yield "its policy does not refuse plain NFS"


def _azure_tls(account: Resource) -> Iterator[str]:
    if at(account.props, "minimumTlsVersion") not in ("TLS1_2", "TLS1_3"):
        yield "it takes TLS older than 1.2"
    # NFS knows no HTTPS: such an account has to be shut to everything but the nodes' subnet.
    if at(account.props, "kind") == "FileStorage":
        if at(account.props, "networkRuleSet", "defaultAction") != "Deny":
            yield "its NFS is reached from everywhere"
    else:
        yield from no(at(account.props, "enableHttpsTrafficOnly"), "it takes plain HTTP")


def _blocked(block: Resource) -> bool:
    switches = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
    return all(at(block.props, each) is True for each in switches)


def _gcs_public(bucket: Resource) -> Iterator[str]:
    if at(bucket.props, "publicAccessPrevention") != "enforced":
        yield "public access is not prevented"
    yield from no(at(bucket.props, "uniformBucketLevelAccess"), "single objects may have rights of their own")


def _account_public(account: Resource) -> Iterator[str]:
    if at(account.props, "allowBlobPublicAccess") is not False:
        yield "its blobs may be made public"
    if at(account.props, "allowSharedKeyAccess") is not False:
        yield "an account key opens it, which nobody can trace or narrow"


def _container_public(container: Resource) -> Iterator[str]:
    if at(container.props, "publicAccess") not in (None, "None"):
        yield "it is public"


def _keyed(*path: str) -> Check:
    def check(resource: Resource) -> Iterator[str]:
        if not given(resource.props, *path):
            yield "it is not encrypted by the site's key"

    return check


def _efs_key(files: Resource) -> Iterator[str]:
    if at(files.props, "encrypted") is not True or not given(files.props, "kmsKeyId"):
        yield "it is not encrypted by the site's key"


def _ecr_key(repository: Resource) -> Iterator[str]:
    settings = at(repository.props, "encryptionConfigurations")
    if at(settings, "encryptionType") != "KMS" or not given(settings, "kmsKey"):
        yield "it is not encrypted by the site's key"


def _account_key(account: Resource) -> Iterator[str]:
    settings = at(account.props, "encryption")
    if at(settings, "keySource") != "Microsoft.Keyvault" or not given(settings, "keyVaultProperties", "keyName"):
        yield "it is not encrypted by the site's key"


def _acr_key(registry: Resource) -> Iterator[str]:
    settings = at(registry.props, "encryption")
    if at(settings, "status") != "enabled" or not given(settings, "keyVaultProperties", "keyIdentifier"):
        yield "it is not encrypted by the site's key"


def _disks(template: Resource) -> Iterator[str]:
    for each in items(template.props, "blockDeviceMappings"):
        if str(at(each, "ebs", "encrypted")).casefold() != "true":
            yield "its nodes' disks are not encrypted"


def _class_key(disks: Resource) -> Iterator[str]:
    """Google and Azure encrypt every disk; of AWS one has to ask for it."""
    if at(disks.props, "provisioner") == "ebs.csi.aws.com" and at(disks.props, "parameters", "encrypted") != "true":
        yield "its disks are not encrypted"


def _class_kept(disks: Resource) -> Iterator[str]:
    if at(disks.props, "reclaimPolicy") != "Retain":
        yield "a claim that is deleted takes its data along"


def _s3_key(setting: Resource) -> bool:
    default = at(setting.props, "rules")
    return given(default, "applyServerSideEncryptionByDefault", "kmsMasterKeyId")


def _s3_versions(setting: Resource) -> bool:
    return bool(at(setting.props, "versioningConfiguration", "status") == "Enabled")


def _gcs_versions(bucket: Resource) -> Iterator[str]:
    yield from no(at(bucket.props, "versioning", "enabled"), "what is overwritten is lost")


def _azure_versions(account: Resource, stack: Stack) -> Iterator[str]:
    if at(account.props, "kind") == "StorageV2":
        for each in stack.all("azure-native:storage:BlobServiceProperties"):
            if at(each.props, "accountName") == at(account.props, "accountName") and at(each.props, "isVersioningEnabled") is True:
                return
        yield "what is overwritten is lost"


def _s3_lifecycle(setting: Resource) -> bool:
    return any(at(each, "status") == "Enabled" for each in items(setting.props, "rules"))


def _gcs_lifecycle(bucket: Resource) -> Iterator[str]:
    if not items(bucket.props, "lifecycleRules"):
        yield "old versions are kept and paid for ever"


def _azure_lifecycle(account: Resource, stack: Stack) -> Iterator[str]:
    if at(account.props, "kind") == "StorageV2":
        for each in stack.all("azure-native:storage:ManagementPolicy"):
            rules = items(each.props, "policy", "rules")
            own = at(each.props, "accountName") == at(account.props, "accountName")
            if own and any(at(rule, "enabled") is True for rule in rules):
                return
        yield "old versions are kept and paid for ever"


def _protected(resource: Resource) -> Iterator[str]:
    if not resource.protect:
        yield "it holds data, and one `pulumi destroy` deletes it"


def _not(name: str, what: str) -> Check:
    def check(resource: Resource) -> Iterator[str]:
        if at(resource.props, name) is True:
            yield what

    return check


def _kms_key(key: Resource) -> Iterator[str]:
    yield from no(at(key.props, "enableKeyRotation"), "it is never rotated")
    if (at(key.props, "deletionWindowInDays") or 30) < 30:
        yield "its deletion can be taken back for less than 30 days"


def _gcp_key(key: Resource) -> Iterator[str]:
    if not given(key.props, "rotationPeriod"):
        yield "it is never rotated"


def _vault(vault: Resource) -> Iterator[str]:
    yield from no(at(vault.props, "properties", "enablePurgeProtection"), "its keys can be purged, and all data with them")


def _vault_key(key: Resource) -> Iterator[str]:
    if not given(key.props, "properties", "rotationPolicy", "lifetimeActions"):
        yield "it is never rotated"


HOLDS_DATA = (
    S3,
    EFS,
    "aws:ecr/repository:Repository",
    "aws:kms/key:Key",
    "aws:cloudwatch/logGroup:LogGroup",
    "aws:eks/cluster:Cluster",
    GCS,
    "gcp:filestore/instance:Instance",
    "gcp:artifactregistry/repository:Repository",
    "gcp:kms/keyRing:KeyRing",
    "gcp:kms/cryptoKey:CryptoKey",
    "gcp:container/cluster:Cluster",
    ACCOUNT,
    CONTAINER,
    "azure-native:storage:FileShare",
    "azure-native:containerregistry:Registry",
    "azure-native:keyvault:Vault",
    "azure-native:keyvault:Key",
    "azure-native:operationalinsights:Workspace",
    "azure-native:containerservice:ManagedCluster",
    "azure-native:resources:ResourceGroup",
    "kubernetes:core/v1:PersistentVolumeClaim",
)

RULES = (
    Rule(
        "POL121",
        "Storage accounts take TLS 1.2 and nothing weaker",
        "set enable_https_traffic_only and minimum_tls_version; shut an NFS account to all but the nodes' subnet",
        {ACCOUNT: _azure_tls},
    ),
    StackRule(
        "POL122",
        "Stores refuse what does not come over TLS",
        "add a policy that denies everything where aws:SecureTransport is false",
        {
            S3: _of_bucket("aws:s3/bucketPolicy:BucketPolicy", _refuses_plain, "its policy does not refuse plain HTTP"),
            EFS: _efs_tls,
        },
    ),
    Rule(
        "POL123",
        "Nothing in a store can be public",
        "prevent public access, and let identities in, not keys of an account",
        {GCS: _gcs_public, ACCOUNT: _account_public, CONTAINER: _container_public},
    ),
    StackRule(
        "POL124",
        "Public access to a bucket is blocked",
        "add a BucketPublicAccessBlock with all four switches",
        {S3: _of_bucket("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", _blocked, "public access is not blocked")},
    ),
    Rule(
        "POL125",
        "What holds data is encrypted, in the cloud by the site's own key",
        _KEY,
        {
            EFS: _efs_key,
            "aws:ecr/repository:Repository": _ecr_key,
            "aws:cloudwatch/logGroup:LogGroup": _keyed("kmsKeyId"),
            "aws:ec2/launchTemplate:LaunchTemplate": _disks,
            GCS: _keyed("encryption", "defaultKmsKeyName"),
            "gcp:filestore/instance:Instance": _keyed("kmsKeyName"),
            "gcp:artifactregistry/repository:Repository": _keyed("kmsKeyName"),
            "gcp:container/nodePool:NodePool": _keyed("nodeConfig", "bootDiskKmsKey"),
            ACCOUNT: _account_key,
            DISKS: _class_key,
            "azure-native:containerregistry:Registry": _acr_key,
        },
    ),
    StackRule(
        "POL126",
        "A bucket is encrypted by the site's own key",
        _KEY,
        {
            S3: _of_bucket(
                "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
                _s3_key,
                "it is not encrypted by the site's key",
            )
        },
    ),
    Rule("POL127", "Stores keep versions", "turn versioning on", {GCS: _gcs_versions}),
    StackRule(
        "POL128",
        "Stores keep versions (where that is a resource of its own)",
        "turn versioning on beside the store",
        {
            S3: _of_bucket("aws:s3/bucketVersioning:BucketVersioning", _s3_versions, "what is overwritten is lost"),
            ACCOUNT: _azure_versions,
        },
    ),
    Rule("POL129", "Old versions end", "add a lifecycle rule for what is not current", {GCS: _gcs_lifecycle}),
    StackRule(
        "POL130",
        "Old versions end (where that is a resource of its own)",
        "add a lifecycle rule for what is not current, beside the store",
        {
            S3: _of_bucket(
                "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
                _s3_lifecycle,
                "old versions are kept and paid for ever",
            ),
            ACCOUNT: _azure_lifecycle,
        },
    ),
    Rule(
        "POL131",
        "What holds data is protected",
        "set `protect: true` in the stack file; to tear a site down, see the documentation of the infrastructure",
        dict.fromkeys(HOLDS_DATA, _protected),
    ),
    Rule(
        "POL132",
        "What is full is not deleted by force",
        "take force_destroy and force_delete away, and let a storage class retain",
        {
            DISKS: _class_kept,
            S3: _not("forceDestroy", "destroying it deletes all objects with it"),
            GCS: _not("forceDestroy", "destroying it deletes all objects with it"),
            "aws:ecr/repository:Repository": _not("forceDelete", "destroying it deletes all images with it"),
        },
    ),
    Rule(
        "POL133",
        "Keys rotate, and their deletion can be taken back",
        "turn on rotation, and give 30 days or purge protection",
        {
            "aws:kms/key:Key": _kms_key,
            "gcp:kms/cryptoKey:CryptoKey": _gcp_key,
            "azure-native:keyvault:Vault": _vault,
            "azure-native:keyvault:Key": _vault_key,
        },
    ),
)
