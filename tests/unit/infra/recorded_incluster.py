"""Runs the in-cluster program without a cluster, from the repository's own stack files and what a cloud stack would tell."""

import functools
import json
from pathlib import Path
from typing import Any

import pulumi
from invented_outputs import ACCOUNT, CA
from recorded_program import ROOT, SITES, Recording, example, run

from infra.contract import DEPLOYERS, CloudOutputs, outputs
from infra.contract import Facts as CloudFacts
from infra.incluster import program
from infra.incluster.config import InClusterConfig, read_incluster
from infra.incluster.facts import Facts, from_cloud, from_local
from infra.incluster.naming import PROMETHEUS_URL
from infra.incluster.secrets import SecretSpec
from infra.incluster.stack_file import load_incluster
from infra.pools import resolve
from infra.stack_file import stack_file
from lorafleet.contracts.document import Document
from lorafleet.contracts.site import Cluster

KINDS = {**SITES, "local": "local"}
"""Sites by who runs them."""

HOME = Cluster(
    name="home",
    endpoint="https://home.example.org:6443",
    ca="UExBQ0VIT0xERVI=",
    identifier="home-2026",
    kubeconfig_command=("kubectl", "config", "view", "--minify", "--flatten", "--context", "home"),
)


TOLD = {
    "aws": CloudFacts(
        cluster_name="lorafleet-aws-eu-central-1",
        endpoint="https://0123456789ABCDEF.gr7.eu-central-1.eks.amazonaws.com",
        ca=CA,
        cluster_identifier=f"arn:aws:eks:eu-central-1:{ACCOUNT}:cluster/lorafleet-aws-eu-central-1",
        registry=f"{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com/lorafleet-aws-eu-central-1",
        object_store="s3://example-lorafleet-aws-eu-central-1",
        volume_handle="fs-00000000000000000::fsap-00000000000000000",
        trainer=f"arn:aws:iam::{ACCOUNT}:role/trainer",
        spinnaker_identity=f"arn:aws:iam::{ACCOUNT}:role/spinnaker",
        spinnaker_subject=DEPLOYERS,
    ),
    "gcp": CloudFacts(
        cluster_name="lorafleet-gcp-us-west1",
        endpoint="https://198.51.100.7",
        ca=CA,
        cluster_identifier="https://container.googleapis.com/v1/projects/example/locations/us-west1/clusters/lorafleet-gcp-us-west1",
        registry="us-west1-docker.pkg.dev/example/lorafleet-gcp-us-west1",
        object_store="gs://example-lorafleet-gcp-us-west1",
        volume_handle="modeInstance/us-west1-a/files/shared",
        trainer="trainer@example.iam.gserviceaccount.com",
        spinnaker_identity="spinnaker@example.iam.gserviceaccount.com",
        spinnaker_subject="spinnaker@example.iam.gserviceaccount.com",
        volume_server="10.0.0.2",
    ),
    "azure": CloudFacts(
        cluster_name="lorafleet-azure-westeurope",
        endpoint="https://example-0123.hcp.westeurope.azmk8s.io",
        ca=CA,
        cluster_identifier="/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/lorafleet",
        registry="example.azurecr.io",
        object_store="az://example/westeurope",
        volume_handle="group#account#shared",
        trainer="00000000-0000-0000-0000-000000000001",
        spinnaker_identity="00000000-0000-0000-0000-000000000002",
        spinnaker_subject="00000000-0000-0000-0000-000000000002",
    ),
}
"""What only each cloud knows. That the programs tell it in this form is for their own tests."""


def cloud_outputs(kind: str) -> CloudOutputs:
    """What the cloud stack of the repository's own stack file tells."""
    config = example(kind)
    return outputs(SITES[kind], config, [resolve(config, pool) for pool in config.pools], TOLD[kind])


def incluster(kind: str) -> InClusterConfig:
    """The configuration of the repository's own stack file."""
    return load_incluster(stack_file(ROOT, f"{KINDS[kind]}-incluster"))


def changed_incluster(kind: str, **changes: Any) -> InClusterConfig:
    """The example's configuration with keys replaced; None takes a key out."""
    value = json.loads(incluster(kind).model_dump_json(exclude_none=True))
    return read_incluster(Document({key: each for key, each in {**value, **changes}.items() if each is not None}, "test"))


def facts(kind: str, config: InClusterConfig) -> Facts:
    """What the program is told of its site."""
    prometheus = config.prometheus.url or PROMETHEUS_URL
    if config.local is not None:
        return from_local(KINDS[kind], config.local, HOME, prometheus)
    return from_cloud(cloud_outputs(kind), prometheus)


@functools.cache
def recorded_incluster(kind: str) -> Recording:
    """The program of the repository's own stack file, run once."""
    return record_incluster(kind, incluster(kind))


def record_incluster(
    kind: str, config: InClusterConfig, *, preview: bool = False, secrets: dict[SecretSpec, str] | None = None
) -> Recording:
    """The program of any configuration."""
    told = facts(kind, config)

    def declare() -> None:
        local = config.local
        provider = (
            program.cloud_provider(cloud_outputs(kind))
            if local is None
            else program.local_provider(local, Path("/home/me/.kube/config"))
        )
        values = {spec: pulumi.Output.secret(value) for spec, value in (secrets or {}).items()}
        program.provision(config, told, provider, values)

    return run(declare, f"{KINDS[kind]}-incluster", preview=preview)
