"""Which sites a project has: by its files, one for the cloud's stack and one for the stack inside the cluster."""

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from infra.incluster.config import ENDING, site_of
from infra.stack_file import stack_file
from lorafleet.contracts.problems import NoInputError

PROJECT_FILE = "Pulumi.yaml"


@dataclass(frozen=True)
class SiteStacks:
    """A site's stacks, each None where the project has no file for it. A cluster of one's own has no cloud stack."""

    name: str
    cloud: str | None
    incluster: str | None

    @property
    def in_order(self) -> tuple[str, ...]:
        """The stacks in the order in which they go up."""
        return tuple(stack for stack in (self.cloud, self.incluster) if stack is not None)


def project_root(start: Path) -> Path:
    """The folder of ``Pulumi.yaml``: ``start`` or the nearest above it.

    Raises:
        NoInputError: there is none.
    """
    resolved = start.resolve()
    for folder in (resolved, *resolved.parents):
        if (folder / PROJECT_FILE).is_file():
            return folder
    raise NoInputError(f"there is no {PROJECT_FILE} here or above", where=str(start), hint="give the project with --project DIR")


def find_sites(root: Path) -> tuple[SiteStacks, ...]:
    """Every site that has a stack file, by name."""
    stacks = {path.name.removeprefix("Pulumi.").removesuffix(".yaml") for path in root.glob("Pulumi.?*.yaml")}
    names = sorted({site_of(stack) for stack in stacks})
    return tuple(
        SiteStacks(name, name if name in stacks else None, name + ENDING if name + ENDING in stacks else None) for name in names
    )


def find_site(root: Path, name: str) -> SiteStacks:
    """A site by name.

    Raises:
        NoInputError: the project has no stack file of it.
    """
    sites = {site.name: site for site in find_sites(root)}
    if name in sites:
        return sites[name]
    near = get_close_matches(name, sites, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"sites: {', '.join(sites) or 'none'}"
    raise NoInputError(f"there is no {stack_file(root, name).name}, and no {stack_file(root, name + ENDING).name}", hint=hint)
