"""The home's PostgreSQL in a program of its own, under mocks."""

from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
from recorded_program import Recording, run

from infra.incluster import quota
from infra.incluster.components.namespaces import Namespace, NamespaceProps
from infra.incluster.components.postgres import Postgres, PostgresProps
from infra.incluster.naming import POSTGRES
from infra.incluster.postgres_config import PostgresConfig
from lorafleet.contracts.site import Cloud

DIGEST = "sha256:" + "a" * 64
HOME = {"role": "home", "image": f"docker.io/library/postgres@{DIGEST}"}
EXPOSED = {"allow": ["198.51.100.7/32"], "annotations": {"example.org/kind": "nlb"}}
FOLLOWS = {"host": "db.example.org", "networks": ["203.0.113.5/32"]}
STANDBY = {**HOME, "role": "standby", "home": FOLLOWS, "exposed": EXPOSED}


def configured(values: dict[str, Any]) -> PostgresConfig:
    return PostgresConfig.model_validate(values)


def program(config: PostgresConfig, *, cloud: Cloud = Cloud.AWS, protect: bool = True) -> Recording:
    """What the component declares."""

    def declare() -> None:
        provider = kubernetes.Provider("cluster", kubeconfig="{}")
        on = pulumi.ResourceOptions(providers=[provider])
        room = quota.for_postgres(exposed=config.exposed is not None)
        home = Namespace("postgres", NamespaceProps(POSTGRES, "postgres", room, protect), on)
        Postgres(
            "postgres",
            PostgresProps(
                home=home,
                site="aws-eu-central-1",
                cloud=cloud,
                config=config,
                node_labels={"lorafleet/pool": "system"},
                dns_ranges=["169.254.20.10/32"],
                pull_secret=None,
                protect=protect,
            ),
            on,
        )

    return run(declare, "postgres")
