"""A spec and its sites, read from files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from lorafleet.contracts.compact import read_fleet
from lorafleet.contracts.document import parse, validate
from lorafleet.contracts.fleet import BaseUrl, Console, FleetSpec
from lorafleet.contracts.identifiers import Digest
from lorafleet.contracts.problems import ConfigError, NoInputError, Problem, UsageError
from lorafleet.contracts.site import Site
from pipelines.text_files import read_text


def read_spec(path: Path, digest: str | None = None, console: str | None = None) -> FleetSpec:
    """Read ``fleet.yaml`` or the compact JSON. ``digest`` takes the place of a tag, and of a digest that the spec names.

    ``console`` takes the place of ``console.url``, which the compact form has no place for.

    Raises:
        NoInputError: the file cannot be read.
        ConfigError: the spec is wrong, or has a tag and no ``digest`` was given.
        UsageError: ``digest`` or ``console`` is none.
    """
    if digest is not None:
        _check_digest(digest)
    tags: list[str] = []

    def resolve(container: str) -> str | None:
        tags.append(container)
        return digest

    try:
        spec = read_fleet(parse(read_text(path), str(path)), resolve)
    except ConfigError as error:
        if not tags or digest is not None:
            raise
        ways = f"--digest sha256:…; 'crane digest {tags[0]}' or 'skopeo inspect docker://{tags[0]}' shows it"
        raise ConfigError((*error.problems, Problem("a tag is resolved when the command is called", str(path), ways))) from None
    changed: dict[str, Any] = {}
    if digest is not None:
        changed["image"] = spec.image.pinned(digest)
    if console is not None:
        changed["console"] = _console(console)
    return spec.model_copy(update=changed)


def read_sites(spec: FleetSpec, directory: Path) -> Mapping[str, Site]:
    """Read the file of each of the spec's sites.

    Raises:
        NoInputError: files are missing, each named.
        ConfigError: a file is wrong, or of another site.
    """
    missing = [
        Problem(
            f"the facts of site '{name}' are missing",
            str(directory / f"{name}.json"),
            f"lorafleet site export {name}, or --sites DIR",
        )
        for name in spec.sites
        if not (directory / f"{name}.json").is_file()
    ]
    if missing:
        raise NoInputError(missing)
    return {name: _read_site(name, directory / f"{name}.json") for name in spec.sites}


def base_url(text: str, option: str) -> str:
    """An address from the command line or the environment.

    Raises:
        UsageError: it is none that credentials may be sent to.
    """
    try:
        return TypeAdapter(BaseUrl).validate_python(text)
    except ValidationError as error:
        raise UsageError(f"{option}: {_words(error)}", hint="write it as https://gate.example.org") from None


def _console(url: str) -> Console:
    try:
        return Console(url=url)
    except ValidationError as error:
        raise UsageError(f"--console: {_words(error)}", hint="write it as https://console.example.org") from None


def _words(error: ValidationError) -> str:
    return error.errors()[0]["msg"].removeprefix("Value error, ")


def _read_site(name: str, path: Path) -> Site:
    site = validate(Site, parse(read_text(path), str(path)))
    if site.name != name:
        raise ConfigError(f"this is site '{site.name}', not '{name}'", where=str(path), hint="export it again")
    return site


def _check_digest(digest: str) -> None:
    try:
        TypeAdapter(Digest).validate_python(digest)
    except ValidationError:
        raise UsageError(f"--digest: '{digest[:80]}' is no digest", hint="sha256: and 64 hexadecimal digits") from None
