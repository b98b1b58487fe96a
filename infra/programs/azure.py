"""A site on AKS."""

from ipaddress import IPv4Network

import pulumi
import pulumi_azure_native as azure_native
from pulumi_azure_native import resources

from infra.addresses import node_subnet
from infra.components.azure_group import AzureGroup
from infra.components.budget.azure import AzureBudget, AzureBudgetProps
from infra.components.cluster.azure import AzureCluster, AzureClusterIdentity, AzureClusterProps
from infra.components.identity.azure import AzureSpinnakerIdentity, AzureSpinnakerProps, AzureTrainerIdentity, AzureTrainerProps
from infra.components.keys.azure import AzureKey, AzureKeyProps
from infra.components.network.azure import AzureNetwork, AzureNetworkProps
from infra.components.object_store.azure import AzureObjectStore, AzureObjectStoreProps, AzureStoreKey
from infra.components.pools.azure import AzureGpuPool, AzurePoolProps
from infra.components.registry.azure import AzureRegistry, AzureRegistryProps
from infra.components.shared_fs.azure import AzureSharedFs, AzureSharedFsProps
from infra.config import AzureConfig
from infra.contract import TRAINER, Facts
from infra.naming import Names
from infra.pools import resolve, zones
from infra.programs.publish import publish


def provision(site: str, config: AzureConfig) -> None:
    """Declare everything that a site on Azure is made of."""
    names = Names(site, config.organization, config.subscription)
    pools = [resolve(config, pool) for pool in config.pools]
    provider = azure_native.Provider(
        "azure-native",
        subscription_id=config.subscription,
        tenant_id=config.tenant,
        location=config.region,
        disable_pulumi_partner_id=True,
    )

    def on() -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(providers=[provider])

    site_group = resources.ResourceGroup(
        "site",
        resource_group_name=names.cluster,
        location=config.region,
        tags={"lorafleet-site": site},
        opts=pulumi.ResourceOptions(provider=provider, protect=config.protect),
    )
    group = AzureGroup(site_group.id, site_group.name, config.region, config.subscription, config.protect)
    identity = AzureClusterIdentity("cluster-identity", group, on())
    key = AzureKey("key", AzureKeyProps(group, config.tenant, identity.principal), on())
    network = AzureNetwork(
        "network", AzureNetworkProps(group, config.network.cidr, str(node_subnet(IPv4Network(config.network.cidr)))), on()
    )
    cluster = AzureCluster(
        "cluster",
        AzureClusterProps(
            group=group,
            cluster_name=names.cluster,
            node_group=names.node_group,
            version=config.kubernetes,
            identity=identity.id,
            identity_principal=identity.principal,
            subnet_id=network.subnet_id,
            vnet_id=network.vnet_id,
            egress=network.egress,
            api_allow=config.api.allow,
            key_version_uri=key.key_version_uri,
            tenant=config.tenant,
            operators=config.operators,
            system=config.system,
            zones=zones(config),
        ),
        on(),
        depends_on=key.grants,
    )
    shared_by_pools = AzurePoolProps(group, cluster.cluster_name, config.kubernetes, network.subnet_id)
    for pool in pools:
        AzureGpuPool(pool.name, shared_by_pools, pool, on())

    registry = AzureRegistry(
        "registry",
        AzureRegistryProps(group, names.container_registry, cluster.kubelet, key.key_uri, key.stores_identity, key.stores_client),
        on(),
        depends_on=key.grants,
    )
    store_key = AzureStoreKey(key.vault_uri, key.key_name, key.stores_identity)
    store = AzureObjectStore("store", AzureObjectStoreProps(group, names.storage_account, store_key), on(), depends_on=key.grants)
    files = AzureSharedFs(
        "files",
        AzureSharedFsProps(group, names.file_account, network.subnet_id, config.shared_gib, store_key),
        on(),
        depends_on=key.grants,
    )
    trainer = AzureTrainerIdentity(
        "trainer",
        AzureTrainerProps(group, cluster.issuer, config.namespace, TRAINER, store.container_id, f"lorafleet trainer {site}"),
        on(),
    )
    spinnaker = AzureSpinnakerIdentity(
        "spinnaker",
        AzureSpinnakerProps(group, cluster.id, config.spinnaker.issuer, config.spinnaker.subject),
        on(),
    )
    groups = (group.name, names.node_group)
    AzureBudget(
        "budget", AzureBudgetProps(config.budget, config.subscription, groups, config.budget_since, f"lorafleet-{site}"), on()
    )
    publish(
        site,
        config,
        pools,
        Facts(
            cluster_name=cluster.cluster_name,
            endpoint=cluster.endpoint,
            ca=cluster.ca,
            cluster_identifier=cluster.id,
            registry=registry.address,
            object_store=store.url,
            volume_handle=files.handle,
            trainer=trainer.client_id,
            spinnaker_identity=spinnaker.client_id,
            spinnaker_subject=spinnaker.principal_id,
        ),
    )
