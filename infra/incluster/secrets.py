"""The Secrets that the stack's parts read, and where each gets its value.

A value stands encrypted in the stack's configuration (``pulumi config set --secret``) and is encrypted in the state too; or another
hand makes the Secret, and ``present_secrets`` names it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from infra.incluster.config import InClusterConfig


@dataclass(frozen=True)
class SecretSpec:
    """A Secret with one value: ``config`` is its key in the stack's configuration, without the project's name."""

    name: str
    key: str
    config: str
    where: str


ENROLMENT = SecretSpec("lorafleet-enrolment", "credential", "enrolment", "workers")
"""The site's enrolment credential, as the workers' manifests of :mod:`pipelines.manifests` mount it."""
BACKUP = SecretSpec("backup-target", "target.json", "backupTarget", "workers")
"""The backup store's settings with its keys, a JSON object as ``lorafleet mirror --target-secret`` reads it."""
SOURCE = SecretSpec("backup-source", "source.json", "backupSource", "workers")
"""The same of the site's own store; only a local site needs one, as clouds know the pod by its service account."""
SERVER = SecretSpec("backup-server", "secret", "backupServer", "backup")
"""The secret key of the stack's own S3 server."""
CONSOLE = SecretSpec("console-secret", "secret", "consoleSecret", "console")
"""What the console seals other secrets with."""
DATABASE = SecretSpec("console-database", "url", "consoleDatabase", "console")
"""The console's ``postgresql://`` address with its password."""

SPECS = (ENROLMENT, BACKUP, SOURCE, SERVER, CONSOLE, DATABASE)


def needed(config: InClusterConfig) -> Iterator[SecretSpec]:
    """The Secrets that the parts of a configuration read."""
    yield ENROLMENT
    if config.backup is not None:
        yield BACKUP
        if config.local is not None:
            yield SOURCE
        if config.backup.serve is not None:
            yield SERVER
    if config.console is not None:
        yield CONSOLE
        yield DATABASE
