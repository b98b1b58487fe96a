"""``sites/<site>.json`` as ``site export`` writes it."""

import json
from collections.abc import Iterator
from pathlib import Path

from lorafleet.contracts.document import parse, validate
from lorafleet.contracts.problems import ConfigError, NoInputError, Problem, StorageError
from lorafleet.contracts.site import Site
from lorafleet.whole_files import write_whole

FOLDER = "sites"


def facts_file(root: Path, site: str) -> Path:
    """Where a site's facts stand in a project."""
    return root / FOLDER / f"{site}.json"


def read_facts(path: Path) -> Site:
    """Read a site's facts.

    Raises:
        NoInputError: there is no such file.
        ConfigError: it is no site, or its name is not the file's.
    """
    where = f"{path.parent.name}/{path.name}"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        hint = f"lorafleet site export {path.stem} writes it"
        raise NoInputError(f"cannot be read: {error.strerror}", where=where, hint=hint) from None
    site = validate(Site, parse(text, where))
    if site.name != path.stem:
        raise ConfigError(f"this file is of site '{site.name}'", where=where, hint="export it again")
    return site


def facts_text(site: Site) -> str:
    """The file's text."""
    return json.dumps(site.model_dump(mode="json", exclude_none=True), indent=2, ensure_ascii=False) + "\n"


def write_facts(path: Path, site: Site) -> None:
    """Write the file so that it appears whole or not at all.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, facts_text(site))
    except OSError as error:
        raise StorageError(f"cannot be written: {error.strerror}", where=str(path)) from None


def differences(here: Site, told: Site) -> Iterator[Problem]:
    """Where a file is not what the stack exports, by the first level of keys."""
    written, exported = here.model_dump(mode="json"), told.model_dump(mode="json")
    for key, value in exported.items():
        if written[key] != value:
            shown = f"{json.dumps(written[key])}, and the stack exports {json.dumps(value)}"
            yield Problem(f"{key} is {shown}", f"{FOLDER}/{told.name}.json", f"lorafleet site export {told.name}")
