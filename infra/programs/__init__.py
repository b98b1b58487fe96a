"""Which program a stack runs. Everything is checked before the first resource."""

import pulumi

from infra.config import KEY, AwsConfig, AzureConfig, GcpConfig, SiteConfig, read
from infra.validators import check
from lorafleet.contracts.document import Document
from lorafleet.contracts.problems import ConfigError


def run() -> None:
    """Run the program of the stack that is selected.

    Raises:
        pulumi.RunError: the configuration is wrong; the engine shows its lines without a traceback.
    """
    stack = pulumi.get_stack()
    namespace, key = KEY.split(":")
    source = f"Pulumi.{stack}.yaml"
    try:
        document = Document(pulumi.Config(namespace).get_object(key), source)
        config = read(document)
        check(config, document)
    except ConfigError as error:
        raise pulumi.RunError(str(error)) from None
    provision(stack, config)


def provision(site: str, config: SiteConfig) -> None:
    """Declare the cloud stack of a site. Only the SDK of its own cloud is imported: they are large."""
    match config:
        case AwsConfig():
            from infra.programs import aws

            aws.provision(site, config)
        case GcpConfig():
            from infra.programs import gcp

            gcp.provision(site, config)
        case AzureConfig():
            from infra.programs import azure

            azure.provision(site, config)
