"""A site on GKE."""

from ipaddress import IPv4Network

import pulumi
import pulumi_gcp as gcp

from infra.addresses import region_ranges
from infra.components.budget.gcp import GcpBudget, GcpBudgetProps
from infra.components.cluster.gcp import GcpCluster, GcpClusterProps
from infra.components.identity.gcp import GcpSpinnakerIdentity, GcpSpinnakerProps, GcpTrainerIdentity, GcpTrainerProps
from infra.components.keys.gcp import GcpKey, GcpKeyProps
from infra.components.network.gcp import GcpNetwork, GcpNetworkProps
from infra.components.object_store.gcp import GcpObjectStore, GcpObjectStoreProps
from infra.components.pools.gcp import GcpGpuPool, GcpNodeAccount, GcpPoolProps, GcpSystemPool
from infra.components.registry.gcp import GcpRegistry, GcpRegistryProps
from infra.components.shared_fs.gcp import GcpSharedFs, GcpSharedFsProps
from infra.config import GcpConfig
from infra.contract import TRAINER, Facts
from infra.naming import Names
from infra.pools import resolve, zones
from infra.programs.publish import publish


def provision(site: str, config: GcpConfig) -> None:
    """Declare everything that a site on Google Cloud is made of."""
    names = Names(site, config.organization, config.project)
    pools = [resolve(config, pool) for pool in config.pools]
    ranges = region_ranges(IPv4Network(config.network.cidr))
    provider = gcp.Provider(
        "gcp",
        project=config.project,
        region=config.region,
        # The budget's API charges its own use to a project, and finds none by itself.
        user_project_override=True,
        billing_project=config.project,
        default_labels={"lorafleet-site": site},
    )

    def on() -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(providers=[provider])

    key = GcpKey("key", GcpKeyProps(config.project, config.project_number, config.region, config.protect), on())
    network = GcpNetwork("network", GcpNetworkProps(config.project, config.region, ranges), on())
    nodes = GcpNodeAccount("node", config.project, f"{names.service_account}-node", on())
    cluster = GcpCluster(
        "cluster",
        GcpClusterProps(
            project=config.project,
            region=config.region,
            cluster_name=names.cluster,
            version=config.kubernetes,
            network_id=network.network_id,
            subnet_id=network.subnet_id,
            api_allow=config.api.allow,
            key_id=key.key_id,
            node_account=nodes.email,
            protect=config.protect,
        ),
        on(),
        # Private nodes pull their first images through the NAT, as the account that may.
        depends_on=[*key.grants, network.nat, nodes.grant],
    )
    shared_by_pools = GcpPoolProps(config.project, config.region, cluster.cluster_name, nodes.email, key.key_id)
    before = GcpSystemPool("system", shared_by_pools, config.system, zones(config), on()).pool
    for pool in pools:
        before = GcpGpuPool(pool.name, shared_by_pools, pool, before, on()).pool

    registry = GcpRegistry(
        "registry",
        GcpRegistryProps(config.project, config.region, names.repository, nodes.member, key.key_id, config.protect),
        on(),
        depends_on=key.grants,
    )
    store = GcpObjectStore(
        "store",
        GcpObjectStoreProps(config.project, config.region, names.bucket, key.key_id, config.refuse_plain_http, config.protect),
        on(),
        depends_on=key.grants,
    )
    files = GcpSharedFs(
        "files",
        GcpSharedFsProps(
            project=config.project,
            zone=zones(config)[0],
            network=network.network_name,
            addresses=str(ranges.files),
            capacity_gib=config.shared_gib,
            key_id=key.key_id,
            protect=config.protect,
        ),
        on(),
        depends_on=key.grants,
    )
    trainer = GcpTrainerIdentity(
        "trainer",
        GcpTrainerProps(config.project, f"{names.service_account}-trainer", config.namespace, TRAINER, store.bucket),
        on(),
        depends_on=[cluster.resource],
    )
    spinnaker = GcpSpinnakerIdentity(
        "spinnaker",
        GcpSpinnakerProps(config.project, f"{names.service_account}-spinnaker", cluster.cluster_id, config.spinnaker.principal),
        on(),
    )
    GcpBudget(
        "budget",
        GcpBudgetProps(config.budget, config.billing_account, config.project, config.project_number, f"lorafleet {site}"),
        on(),
    )
    publish(
        site,
        config,
        pools,
        Facts(
            cluster_name=cluster.cluster_name,
            endpoint=cluster.endpoint,
            ca=cluster.ca,
            cluster_identifier=cluster.self_link,
            registry=registry.address,
            object_store=store.url,
            volume_handle=files.handle,
            volume_server=files.server,
            trainer=trainer.email,
            spinnaker_identity=spinnaker.email,
            spinnaker_subject=spinnaker.email,
        ),
    )
