"""A site's estimate from its stack files."""

from functools import partial
from pathlib import Path

import pulumi_kubernetes as k8s

from infra.config import SiteConfig
from infra.contract import CloudOutputs, Facts, outputs
from infra.cost import aws, azure, gcp, kubernetes
from infra.cost.estimate import Estimate, estimate
from infra.cost.recording import Resource, record
from infra.incluster import naming, program
from infra.incluster.config import InClusterConfig
from infra.incluster.facts import Facts as ClusterFacts
from infra.incluster.facts import from_cloud, from_local
from infra.incluster.stack_file import load_incluster
from infra.pools import resolve
from infra.programs import provision
from infra.sites.stacks import SiteStacks
from infra.stack_file import load, stack_file
from lorafleet.contracts.site import Cluster

_UNTOLD = "not-told-yet"
"""For what only the cloud tells: no price depends on it."""


def estimate_site(root: Path, site: SiteStacks) -> Estimate:
    """Estimate both stacks of a site. Of a cluster of one's own nothing is priced.

    Raises:
        LorafleetError: a stack file is missing or wrong.
    """
    resources: tuple[Resource, ...] = ()
    cloud = load(stack_file(root, site.cloud)) if site.cloud is not None else None
    name, region = (cloud.cloud, cloud.region) if cloud is not None else ("local", "local")
    if site.cloud is not None and cloud is not None:
        resources += record(partial(provision, site.cloud, cloud), site.cloud)
    if site.incluster is not None:
        config = load_incluster(stack_file(root, site.incluster))
        facts = _facts(site.name, cloud, config)
        if facts is not None:
            resources += record(partial(_in_cluster, config, facts), site.incluster)
    meterings = {
        "aws": aws.METERING,
        "gcp": gcp.METERING,
        "azure-native": azure.METERING,
        "kubernetes": kubernetes.metering(name),
    }
    return estimate(site.name, name, region, resources, meterings)


def _in_cluster(config: InClusterConfig, facts: ClusterFacts) -> None:
    program.provision(config, facts, k8s.Provider(program.PROVIDER, cluster_identifier=_UNTOLD), {})


def _facts(site: str, cloud: SiteConfig | None, config: InClusterConfig) -> ClusterFacts | None:
    prometheus = config.prometheus.url or naming.PROMETHEUS_URL
    if cloud is not None:
        return from_cloud(_outputs(site, cloud), prometheus)
    if config.local is not None:
        cluster = Cluster(
            name=_UNTOLD,
            endpoint=f"https://{_UNTOLD}.example.org",
            ca=_UNTOLD,
            identifier=config.local.identifier,
            kubeconfig_command=(_UNTOLD,),
        )
        return from_local(site, config.local, cluster, prometheus)
    return None


def _outputs(site: str, cloud: SiteConfig) -> CloudOutputs:
    untold = Facts(
        cluster_name=_UNTOLD,
        endpoint=f"https://{_UNTOLD}.example.org",
        ca=_UNTOLD,
        cluster_identifier=_UNTOLD,
        registry=f"{_UNTOLD}.example.org",
        object_store=f"s3://{_UNTOLD}",
        volume_handle="#".join([_UNTOLD] * 3) if cloud.cloud == "azure" else _UNTOLD,
        trainer=_UNTOLD,
        spinnaker_identity=_UNTOLD,
        spinnaker_subject=_UNTOLD,
    )
    return outputs(site, cloud, [resolve(cloud, pool) for pool in cloud.pools], untold)
