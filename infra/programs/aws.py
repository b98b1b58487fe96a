"""A site on EKS."""

from ipaddress import IPv4Network

import pulumi
import pulumi_aws as aws

from infra.addresses import EKS_SERVICES, zone_subnets
from infra.components.budget.aws import AwsBudget, AwsBudgetProps
from infra.components.cluster.aws import AwsCluster, AwsClusterProps
from infra.components.cluster.aws_addons import AwsAddonsProps, AwsNodeAddons, AwsWorkloadAddons
from infra.components.identity.aws import AwsSpinnakerIdentity, AwsSpinnakerProps, AwsTrainerIdentity, AwsTrainerProps
from infra.components.keys.aws import AwsKey, AwsKeyProps
from infra.components.network.aws import AwsNetwork, AwsNetworkProps
from infra.components.object_store.aws import AwsObjectStore, AwsObjectStoreProps
from infra.components.pools.aws import AwsGpuPool, AwsNodeRole, AwsPoolProps, AwsSystemPool
from infra.components.pools.aws_autoscaler import AwsAutoscalerIdentity, AwsAutoscalerProps
from infra.components.registry.aws import AwsRegistry, AwsRegistryProps
from infra.components.shared_fs.aws import AwsSharedFs, AwsSharedFsProps
from infra.config import AwsConfig
from infra.contract import DEPLOYERS, TRAINER, Facts
from infra.naming import Names
from infra.pools import resolve, zones
from infra.programs.publish import publish

TAG = "lorafleet-site"


def provision(site: str, config: AwsConfig) -> None:
    """Declare everything that a site on AWS is made of."""
    names = Names(site, config.organization, config.account)
    pools = [resolve(config, pool) for pool in config.pools]
    provider = aws.Provider(
        "aws",
        region=config.region,
        allowed_account_ids=[config.account],
        default_tags=aws.ProviderDefaultTagsArgs(tags={TAG: site}),
    )

    def on() -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(providers=[provider])

    log_group = f"/aws/eks/{names.cluster}/cluster"
    key = AwsKey("key", AwsKeyProps(config.account, config.region, names.cluster, log_group, config.protect), on())
    network = AwsNetwork(
        "network",
        AwsNetworkProps(
            config.region,
            config.network.cidr,
            zone_subnets(IPv4Network(config.network.cidr), zones(config)),
            config.network.nat_per_zone,
        ),
        on(),
    )
    cluster = AwsCluster(
        "cluster",
        AwsClusterProps(
            cluster_name=names.cluster,
            version=config.kubernetes,
            subnet_ids=tuple(network.private_subnets.values()),
            services=str(EKS_SERVICES),
            api_allow=config.api.allow,
            key_arn=key.arn,
            log_group=log_group,
            operators=config.operators,
            protect=config.protect,
        ),
        on(),
    )
    node_addons = AwsNodeAddons("node-addons", AwsAddonsProps(config.account, cluster.cluster_name, cluster.arn), on())
    nodes = AwsNodeRole("node", on())
    # A node that joins before its network add-on and its role's rights never becomes ready.
    ready = [*node_addons.addons, *nodes.attachments]
    shared_by_pools = AwsPoolProps(cluster.cluster_name, nodes.arn, network.private_subnets, ready, {TAG: site})
    system = AwsSystemPool("system", shared_by_pools, config.system, on())
    for pool in pools:
        AwsGpuPool(pool.name, shared_by_pools, pool, on())
    AwsWorkloadAddons("addons", AwsAddonsProps(config.account, cluster.cluster_name, cluster.arn, after=[system.group]), on())
    AwsAutoscalerIdentity("autoscaler", AwsAutoscalerProps(config.account, cluster.cluster_name, cluster.arn), on())

    registry = AwsRegistry("registry", AwsRegistryProps(names.repository, config.images, key.arn, config.protect), on())
    store = AwsObjectStore("store", AwsObjectStoreProps(names.bucket, key.arn, config.protect), on())
    files = AwsSharedFs(
        "files",
        AwsSharedFsProps(network.vpc_id, network.private_subnets, cluster.security_group, key.arn, config.protect),
        on(),
    )
    trainer = AwsTrainerIdentity(
        "trainer",
        AwsTrainerProps(
            account=config.account,
            region=config.region,
            cluster_name=cluster.cluster_name,
            cluster_arn=cluster.arn,
            namespace=config.namespace,
            service_account=TRAINER,
            bucket_arn=store.arn,
            key_arn=key.arn,
        ),
        on(),
    )
    spinnaker = AwsSpinnakerIdentity(
        "spinnaker",
        AwsSpinnakerProps(cluster.cluster_name, cluster.arn, config.spinnaker.principal, DEPLOYERS),
        on(),
    )
    AwsBudget("budget", AwsBudgetProps(config.budget, f"{TAG}${site}"), on())
    publish(
        site,
        config,
        pools,
        Facts(
            cluster_name=cluster.cluster_name,
            endpoint=cluster.endpoint,
            ca=cluster.ca,
            cluster_identifier=cluster.arn,
            registry=registry.address,
            object_store=store.url,
            volume_handle=files.handle,
            trainer=trainer.role_arn,
            spinnaker_identity=spinnaker.role_arn,
            spinnaker_subject=DEPLOYERS,
        ),
    )
