"""A site's stacks in their order: the cloud first, then what runs in its cluster; down in reverse."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pulumi.automation.errors import CommandError

from infra.engine.events import name_of
from infra.engine.failures import explain
from infra.engine.pulumi_cli import PulumiCli
from infra.engine.running import Operation, run
from infra.engine.showing import Show
from infra.engine.workspace import open_workspace, read_json, select
from infra.sites.stacks import SiteStacks
from lorafleet.contracts.problems import ConfigError, LorafleetError, Problem, UnavailableError

_LOGIN = {"aws": ("aws",), "gcp": ("gke-gcloud-auth-plugin",), "azure": ("kubelogin", "az")}


@dataclass(frozen=True)
class Walk:
    """Where an operation goes. ``agree`` is asked before each stack changes; it raises where the answer is no."""

    root: Path
    site: SiteStacks
    show: Show
    agree: Callable[[str, int], None]
    policy_pack: Path | None = None


def refuse_without_login(cloud: str | None, site: SiteStacks) -> None:
    """Look for the commands that log in to the site's cluster.

    Raises:
        UnavailableError: one is not there.
    """
    missing = [command for command in _LOGIN.get(cloud or "", ()) if shutil.which(command) is None]
    if missing and site.incluster is not None:
        what = f"the command '{missing[0]}', which logs in to the site's cluster, is not there"
        raise UnavailableError(what, where=site.incluster, hint="install the cloud's command line and its login plugin")


def known_stacks(root: Path, cli: PulumiCli) -> Mapping[str, int]:
    """The stacks that the backend has, with the number of their resources.

    Raises:
        LorafleetError: no backend answers.
    """
    try:
        return {each.name: each.resource_count or 0 for each in open_workspace(root, cli).list_stacks()}
    except CommandError as error:
        raise explain("backend", str(error), ()) from None


def up(walk: Walk, *, ask: bool) -> int:
    """Bring the site's stacks up, one after the other; with ``ask`` each is previewed first. Returns how many resources changed."""

    def one(stack: str, cli: PulumiCli) -> int:
        made = select(walk.root, stack, cli, make=True)
        if ask:
            walk.show.stack("preview", stack)
            changes = run(Operation.PREVIEW, made, walk.show.told, policy_pack=walk.policy_pack)
            if changes == 0:
                return 0
            with walk.show.asking():
                walk.agree(stack, changes)
        walk.show.stack("up", stack)
        return run(Operation.UP, made, walk.show.told, policy_pack=walk.policy_pack)

    return _each(walk, walk.site.in_order, "up", one)


def preview(walk: Walk) -> int:
    """Tell what an ``up`` would change; how many resources."""
    cli = PulumiCli(walk.show.say)
    known = known_stacks(walk.root, cli)
    changes = 0
    for stack in walk.site.in_order:
        if stack == walk.site.incluster and walk.site.cloud is not None and not known.get(walk.site.cloud):
            walk.show.say(f"{stack}: cannot be told before {walk.site.cloud} is up, which it asks where the cluster is")
            changes += 1
            continue
        walk.show.stack("preview", stack)
        made = select(walk.root, stack, cli, make=True)
        changes += run(Operation.PREVIEW, made, walk.show.told, policy_pack=walk.policy_pack)
    return changes


def destroy(walk: Walk) -> int:
    """Take the site's stacks down, the last one first. Returns how many resources went."""
    cli = PulumiCli(walk.show.say)
    known = known_stacks(walk.root, cli)
    _refuse_protected(walk, [stack for stack in walk.site.in_order if stack in known], cli)

    def one(stack: str, cli: PulumiCli) -> int:
        walk.show.stack("destroy", stack)
        return run(Operation.DESTROY, select(walk.root, stack, cli), walk.show.told)

    return _each(walk, [stack for stack in reversed(walk.site.in_order) if stack in known], "destroy", one)


def _refuse_protected(walk: Walk, stacks: Sequence[str], cli: PulumiCli) -> None:
    # Of all stacks before the first goes: the engine looks at one at a time, and would take the cluster's inside down before it
    # refuses the cluster.
    problems = []
    for stack in stacks:
        # Not the automation API's way, which decrypts every secret.
        state = read_json(walk.root, cli, stack, "export")["deployment"] or {}
        held = [f"{each['type']} {name_of(each['urn'])}" for each in state.get("resources", ()) if each.get("protect")]
        if held:
            what = f"{len(held)} resources that hold data are protected: {', '.join(held)}"
            hint = (
                f"set protect: false in Pulumi.{stack}.yaml, then lorafleet site up --no-policy-pack {walk.site.name}, then destroy"
            )
            problems.append(Problem(what, stack, hint))
    if problems:
        raise ConfigError(problems)


def refresh(walk: Walk) -> int:
    """Take what is there into the stacks' states. Returns how many resources were not as the state had them."""

    def one(stack: str, cli: PulumiCli) -> int:
        walk.show.stack("refresh", stack)
        return run(Operation.REFRESH, select(walk.root, stack, cli), walk.show.told)

    return _each(walk, walk.site.in_order, "refresh", one)


def _each(walk: Walk, stacks: Sequence[str], word: str, one: Callable[[str, PulumiCli], int]) -> int:
    cli = PulumiCli(walk.show.say)
    changed = 0
    for number, stack in enumerate(stacks):
        try:
            changed += one(stack, cli)
        except LorafleetError as error:
            # How to go on, which the engine's own words do not say.
            left = ", ".join(stacks[number + 1 :])
            rest = f"; {left} was not begun" if left else ""
            on = Problem(
                f"{word} of {walk.site.name} stopped at {stack}{rest}", "", f"lorafleet site {word} {walk.site.name} goes on"
            )
            error.problems = (*error.problems, on)
            raise
    return changed
