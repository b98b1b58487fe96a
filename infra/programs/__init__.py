"""Which program a stack runs. Everything is checked before the first resource."""

import pulumi

from infra.config import KEY, AwsConfig, AzureConfig, GcpConfig, SiteConfig, read
from infra.incluster.config import KEY as INCLUSTER_KEY
from infra.incluster.config import is_incluster, read_incluster
from infra.incluster.secrets import SPECS
from infra.incluster.validators import check_incluster
from infra.validators import check
from lorafleet.contracts.document import Document
from lorafleet.contracts.problems import ConfigError


def run() -> None:
    """Run the program of the stack that is selected.

    Raises:
        pulumi.RunError: the configuration is wrong; the engine shows its lines without a traceback.
    """
    stack = pulumi.get_stack()
    try:
        if is_incluster(stack):
            _in_cluster(stack)
        else:
            document = _document(stack, KEY)
            config = read(document)
            check(config, document)
            provision(stack, config)
    except ConfigError as error:
        raise pulumi.RunError(str(error)) from None


def _in_cluster(stack: str) -> None:
    from infra.incluster import program

    document = _document(stack, INCLUSTER_KEY)
    config = read_incluster(document)
    values = pulumi.Config(program.PROJECT)
    given = [spec.config for spec in SPECS if values.get(spec.config) is not None]
    check_incluster(config, stack, given, document)
    program.run(stack, config)


def _document(stack: str, key: str) -> Document:
    namespace, name = key.split(":")
    return Document(pulumi.Config(namespace).get_object(name), f"Pulumi.{stack}.yaml")


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
