"""What Google asks money for."""

from collections.abc import Iterator, Sequence

from infra.cost.meter import ByUse, Meter, Metering, Steady, nodes
from infra.cost.recording import Resource

_POOL = "gcp:container/nodePool:NodePool"


def _cluster(resource: Resource, _: Sequence[Resource]) -> Iterator[Meter]:
    yield Steady("control plane", "control plane", 1, 1)
    yield ByUse("audit logs of the project", "logs")


def _pool(resource: Resource, _: Sequence[Resource]) -> Iterator[Meter]:
    node, (least, most) = resource.inputs["nodeConfig"], _size(resource)
    yield from nodes(f"pool {resource.name}", node["machineType"], node["labels"], least, most, "balanced disk", node["diskSizeGb"])


def _size(pool: Resource) -> tuple[float, float]:
    scaling = pool.inputs["autoscaling"]
    return scaling.get("totalMinNodeCount", 0), scaling["totalMaxNodeCount"]


def _nat(resource: Resource, all_of_them: Sequence[Resource]) -> Iterator[Meter]:
    sizes = [_size(each) for each in all_of_them if each.type == _POOL]
    # Google counts each machine, up to 32 of them.
    idle, peak = (min(sum(size[end] for size in sizes), 32) for end in (0, 1))
    yield Steady("NAT gateway", "NAT per machine", idle, peak)
    yield ByUse("NAT gateway: data", "NAT data")


def _files(resource: Resource, _: Sequence[Resource]) -> Iterator[Meter]:
    size = resource.inputs["fileShares"]["capacityGb"]
    yield Steady("shared file system", f"{resource.inputs['tier'].lower()} shared files", size, size)


def _bucket(resource: Resource, _: Sequence[Resource]) -> Iterator[Meter]:
    yield ByUse("object store", "objects")


def _images(resource: Resource, _: Sequence[Resource]) -> Iterator[Meter]:
    yield ByUse("registry", "images")
    yield ByUse("registry: scan of each pushed image", "image scan")


def _key(resource: Resource, _: Sequence[Resource]) -> Iterator[Meter]:
    yield Steady("encryption key", "key", 1, 1)


METERING = Metering(
    priced={
        "gcp:container/cluster:Cluster": _cluster,
        _POOL: _pool,
        "gcp:compute/routerNat:RouterNat": _nat,
        "gcp:filestore/instance:Instance": _files,
        "gcp:storage/bucket:Bucket": _bucket,
        "gcp:artifactregistry/repository:Repository": _images,
        "gcp:kms/cryptoKey:CryptoKey": _key,
    },
    free=frozenset(
        {
            "gcp:artifactregistry/repositoryIamMember:RepositoryIamMember",
            "gcp:billing/budget:Budget",
            "gcp:compute/network:Network",
            "gcp:compute/router:Router",
            "gcp:compute/subnetwork:Subnetwork",
            "gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember",
            "gcp:kms/keyRing:KeyRing",
            "gcp:monitoring/notificationChannel:NotificationChannel",
            "gcp:orgpolicy/policy:Policy",
            "gcp:projects/iAMAuditConfig:IAMAuditConfig",  # What it logs is counted at the cluster.
            "gcp:projects/iAMCustomRole:IAMCustomRole",
            "gcp:projects/iAMMember:IAMMember",
            "gcp:projects/serviceIdentity:ServiceIdentity",
            "gcp:serviceaccount/account:Account",
            "gcp:serviceaccount/iAMMember:IAMMember",
            "gcp:storage/bucketIAMMember:BucketIAMMember",
        }
    ),
)
