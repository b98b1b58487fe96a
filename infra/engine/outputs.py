"""What a site's stacks export."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from infra.contract import EXPORT, CloudOutputs
from infra.engine.pulumi_cli import PulumiCli
from infra.engine.workspace import read_json
from infra.sites.stacks import SiteStacks
from lorafleet.contracts.problems import ConfigError, LorafleetError
from lorafleet.contracts.site import Site

SITE_EXPORT = "site"
"""The in-cluster stack's output: the site's contract."""

Model = TypeVar("Model", bound=BaseModel)


def site_output(root: Path, stacks: SiteStacks) -> Site:
    """The site's contract, as its in-cluster stack exports it.

    Raises:
        LorafleetError: the stack is not up, exports something else, or no backend answers.
    """
    site = _read(root, stacks.incluster, stacks.name, SITE_EXPORT, Site)
    if site.name != stacks.name:
        raise ConfigError(f"the stack is of site '{site.name}'", where=str(stacks.incluster))
    return site


def cloud_outputs(root: Path, stacks: SiteStacks) -> CloudOutputs:
    """What the site's cloud stack exports.

    Raises:
        LorafleetError: as :func:`site_output`.
    """
    return _read(root, stacks.cloud, stacks.name, EXPORT, CloudOutputs)


def _read(root: Path, stack: str | None, site: str, name: str, model: type[Model]) -> Model:
    if stack is None:
        raise LorafleetError(f"site {site} has no stack that exports '{name}'", hint=f"lorafleet site check {site}")
    hint = f"lorafleet site up {site}"
    outputs = read_json(root, PulumiCli(), stack, "output", "--json")
    if name not in outputs:
        raise LorafleetError(f"the stack has no output '{name}': it is not up", where=stack, hint=hint)
    try:
        return model.model_validate(outputs[name])
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        at = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"output '{name}' is not as this version reads it: {at}: {first['msg']}", where=stack, hint=hint
        ) from None
