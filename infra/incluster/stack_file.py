"""Reading ``Pulumi.<site>-incluster.yaml`` without an engine, so that an error names the line."""

from pathlib import Path

from infra.incluster.config import KEY, InClusterConfig, read_incluster
from infra.incluster.validators import check_incluster
from infra.stack_file import section


def load_incluster(path: Path) -> InClusterConfig:
    """Read and check an in-cluster stack's configuration.

    Raises:
        NoInputError: there is no such file.
        ConfigError: a key is missing, unknown or wrong, or a rule of :mod:`infra.incluster.validators` is broken.
    """
    document, others = section(path, KEY)
    config = read_incluster(document)
    stack = path.name.removeprefix("Pulumi.").removesuffix(".yaml")
    check_incluster(config, stack, [key.partition(":")[2] for key in others if key.startswith("lorafleet:")], document)
    return config
