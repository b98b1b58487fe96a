"""Reading ``Pulumi.<stack>.yaml`` without an engine, so that an error names the line."""

from pathlib import Path

from infra.config import KEY, SiteConfig, read
from infra.validators import check
from lorafleet.contracts.document import Document, parse
from lorafleet.contracts.problems import NoInputError


def stack_file(root: Path, stack: str) -> Path:
    """Where Pulumi looks for a stack's configuration."""
    return root / f"Pulumi.{stack}.yaml"


def load(path: Path) -> SiteConfig:
    """Read and check a cloud stack's configuration.

    Raises:
        NoInputError: there is no such file.
        ConfigError: a key is missing, unknown or wrong, or a rule of :mod:`infra.validators` is broken.
    """
    document, _ = section(path, KEY)
    site = read(document)
    check(site, document)
    return site


def section(path: Path, key: str) -> tuple[Document, frozenset[str]]:
    """The value of one key of a stack's configuration, and the names of the other keys.

    Raises:
        NoInputError: there is no such file.
        ConfigError: it is not YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise NoInputError(
            f"cannot be read: {error.strerror}", where=path.name, hint="copy one of the repository's stack files"
        ) from None
    whole = parse(text, path.name)
    config = whole.value.get("config") if isinstance(whole.value, dict) else None
    found = config if isinstance(config, dict) else {}
    lines = {at[2:]: line for at, line in whole.lines.items() if at[:2] == ("config", key) and len(at) > 2}
    return Document(found.get(key), path.name, lines), frozenset(found) - {key}
