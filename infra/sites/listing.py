"""The table of a project's sites."""

from collections.abc import Mapping
from typing import Any

from infra.sites.checking import Checked


def site_row(site: Checked, states: Mapping[str, str], otherwise: str) -> dict[str, Any]:
    """What is known of a site. ``states`` is what a backend says of its stacks, ``otherwise`` goes for all others."""
    cloud, local = site.cloud, site.incluster.local if site.incluster is not None else None
    pools: list[str] = []
    if cloud is not None:
        pools = [f"{pool.name}: {pool.max} × {pool.machine}, {pool.capacity}" for pool in cloud.pools]
    elif local is not None:
        pools = [f"{pool.gpus} × {pool.gpu}" for pool in local.gpu_pools]
    return {
        "site": site.stacks.name,
        "cloud": cloud.cloud if cloud is not None else "local" if local is not None else None,
        "region": cloud.region if cloud is not None else local.region if local is not None else None,
        "pools": pools,
        "stacks": {stack: states.get(stack, otherwise) for stack in site.stacks.in_order},
        "exported": site.facts is not None,
        "problems": [str(problem) for problem in site.problems],
    }
