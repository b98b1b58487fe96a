"""The facts of the sites, from ``sites/<site>.json``."""

from pathlib import Path

from lorafleet.contracts.document import parse, validate
from lorafleet.contracts.problems import NoInputError
from lorafleet.contracts.site import Site


def read_site_files(folder: Path) -> dict[str, Site]:
    """Every site of a folder, by name.

    Raises:
        NoInputError: the folder or a file cannot be read.
        ConfigError: a file is no site.
    """
    if not folder.is_dir():
        raise NoInputError("there is no such folder", where=str(folder), hint="lorafleet site export writes sites/<site>.json")
    sites = {}
    for path in sorted(folder.glob("*.json")):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise NoInputError(f"cannot be read: {reason}", where=str(path)) from None
        site = validate(Site, parse(text, str(path)))
        sites[site.name] = site
    return sites
