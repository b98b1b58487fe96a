"""What Azure asks money for."""

from collections.abc import Iterator, Sequence

from infra.cost.meter import ByUse, Meter, Metering, Steady, nodes
from infra.cost.recording import Resource


def _cluster(resource: Resource, _: Sequence[Resource]) -> Iterator[Meter]:
    yield Steady("control plane", "control plane", 1, 1)
    for pool in resource.inputs["agentPoolProfiles"]:
        yield from nodes(
            f"pool {pool['name']}",
            pool["vmSize"],
            pool["nodeLabels"],
            pool["minCount"],
            pool["maxCount"],
            "system disk",
            pool.get("osDiskSizeGB", 128),
        )


def _pool(resource: Resource, _: Sequence[Resource]) -> Iterator[Meter]:
    pool = resource.inputs
    name, labels = f"pool {pool['agentPoolName']}", pool["nodeLabels"]
    yield from nodes(name, pool["vmSize"], labels, pool["minCount"], pool["maxCount"], "system disk", pool["osDiskSizeGB"])


def _nat(resource: Resource, _: Sequence[Resource]) -> Iterator[Meter]:
    yield Steady("NAT gateway", "NAT gateway", 1, 1)
    yield ByUse("NAT gateway: data", "NAT data")


def _address(resource: Resource, _: Sequence[Resource]) -> Iterator[Meter]:
    yield Steady("public address of the NAT gateway", "public IPv4 address", 1, 1)


def _registry(resource: Resource, _: Sequence[Resource]) -> Iterator[Meter]:
    yield Steady(f"registry, {resource.inputs['sku']['name']}", "registry", 1, 1)


def _container(resource: Resource, _: Sequence[Resource]) -> Iterator[Meter]:
    yield ByUse("object store", "objects")


def _share(resource: Resource, _: Sequence[Resource]) -> Iterator[Meter]:
    size = resource.inputs["shareQuota"]
    yield Steady("shared file system", "premium shared files", size, size)


def _key(resource: Resource, _: Sequence[Resource]) -> Iterator[Meter]:
    yield Steady("encryption key", "key", 1, 1)


def _logs(resource: Resource, _: Sequence[Resource]) -> Iterator[Meter]:
    yield ByUse("audit logs of the cluster", "logs")


def _defender(resource: Resource, _: Sequence[Resource]) -> Iterator[Meter]:
    yield ByUse("Defender for Containers, by core of the subscription", "defender")


METERING = Metering(
    priced={
        "azure-native:containerservice:ManagedCluster": _cluster,
        "azure-native:containerservice:AgentPool": _pool,
        "azure-native:network:NatGateway": _nat,
        "azure-native:network:PublicIPAddress": _address,
        "azure-native:containerregistry:Registry": _registry,
        "azure-native:storage:BlobContainer": _container,
        "azure-native:storage:FileShare": _share,
        "azure-native:keyvault:Key": _key,
        "azure-native:operationalinsights:Workspace": _logs,
        "azure-native:security:Pricing": _defender,
    },
    free=frozenset(
        {
            "azure-native:authorization:ManagementLockByScope",
            "azure-native:authorization:RoleAssignment",
            "azure-native:authorization:RoleDefinition",
            "azure-native:consumption:Budget",
            "azure-native:keyvault:Vault",
            "azure-native:managedidentity:FederatedIdentityCredential",
            "azure-native:managedidentity:UserAssignedIdentity",
            "azure-native:monitor:DiagnosticSetting",
            "azure-native:network:NetworkSecurityGroup",
            "azure-native:network:Subnet",
            "azure-native:network:VirtualNetwork",
            "azure-native:resources:ResourceGroup",
            "azure-native:storage:BlobServiceProperties",
            "azure-native:storage:ManagementPolicy",
            "azure-native:storage:StorageAccount",  # What it holds is counted at its container and share.
        }
    ),
)
