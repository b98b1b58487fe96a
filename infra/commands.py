"""``lorafleet site``: sites from their stack files, up, looked after and down again."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from lorafleet.contracts.outcomes import ExitCode
from lorafleet.contracts.problems import ConfigError, Interrupted, LorafleetError, UsageError

if TYPE_CHECKING:
    from infra.engine.showing import Show
    from infra.engine.walk import Walk

app = typer.Typer(
    name="site", help="Make, look after and take down the sites of the fleet.", rich_markup_mode=None, add_completion=False
)

CHANGES = 2
"""What ``preview`` and ``drift`` exit with where there is something to tell, as ``terraform plan -detailed-exitcode`` does."""


class DetailedExit(TyperCommand):
    """A command whose exit code 2 means changes and nothing else: wrong usage is 1."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """See ``TyperCommand``."""
        try:
            return super().make_context(*arguments, **options)
        except typer.TyperException as error:
            raise LorafleetError(error.format_message().rstrip("."), hint=f"see 'lorafleet site {self.name} --help'") from None


Project = Annotated[
    Path, typer.Option("--project", metavar="DIR", help="Where Pulumi.yaml is. Default: here, or the nearest folder above.")
]
SiteName = Annotated[str, typer.Argument(metavar="SITE", help="A site, as its stack files name it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Events = Annotated[bool, typer.Option("--json", help="Print what happens as JSON lines.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Pack = Annotated[
    bool, typer.Option("--policy-pack/--no-policy-pack", help="Hold the resources against the rules in infra/policy first.")
]

_HERE = Path()


@app.command("list")
def list_sites(project: Project = _HERE, as_json: AsJson = False) -> None:
    """Show the sites that the project has stack files of, and the state of their stacks where a backend answers."""
    from rich.console import Console
    from rich.table import Table

    from infra.engine.states import stack_states
    from infra.sites.checking import check_sites
    from infra.sites.listing import site_row
    from infra.sites.stacks import find_sites, project_root

    root = project_root(project)
    states = stack_states(root)
    otherwise = "not asked" if states.why_not else "not made"
    rows = [site_row(site, states.by_stack, otherwise) for site in check_sites(root, find_sites(root))]
    if as_json:
        _print_json(rows)
        return
    table = Table("site", "cloud", "region", "GPU pools", "stacks", "facts", box=None, pad_edge=False)
    for row in rows:
        stacks = "\n".join(f"{stack}: {state}" for stack, state in row["stacks"].items())
        facts = "exported" if row["exported"] else "not exported"
        wrong = "" if not row["problems"] else ", see site check"
        table.add_row(row["site"], row["cloud"] or "?", row["region"] or "?", "\n".join(row["pools"]), stacks, f"{facts}{wrong}")
    Console(highlight=False).print(table)
    if states.why_not:
        typer.echo(f"stacks were not asked: {states.why_not}", err=True)


@app.command()
def check(
    sites: Annotated[list[str] | None, typer.Argument(metavar="SITE…", help="Default: all.", show_default=False)] = None,
    project: Project = _HERE,
    as_json: AsJson = False,
) -> None:
    """Hold stack files and sites' files against the rules, and against each other; offline.

    Ends with code 78 where something is wrong.
    """
    from infra.sites.checking import between, check_sites, without_stack
    from infra.sites.stacks import find_site, find_sites, project_root

    root = project_root(project)
    every = find_sites(root)
    wanted = [find_site(root, name) for name in sites] if sites else every
    checked = check_sites(root, every)
    names = {site.name for site in wanted}
    problems = [problem for site in checked if site.stacks.name in names for problem in site.problems]
    # Of all sites, whichever were asked for: a range is disjoint from all others or it is not.
    problems += list(between(checked))
    if not sites:
        problems += list(without_stack(root, every))
    if as_json:
        _print_json({"sites": sorted(names), "problems": [str(problem) for problem in problems]})
        if problems:
            raise typer.Exit(ExitCode.CONFIG)
        return
    if problems:
        raise ConfigError(problems)
    typer.echo(f"{', '.join(sorted(names))}: nothing wrong")


@app.command()
def cost(site: SiteName, project: Project = _HERE, as_json: AsJson = False) -> None:
    """Estimate what a site costs a month, idle and with every pool at its limit; no account is asked."""
    from rich.console import Console
    from rich.table import Table

    from infra.cost.estimate import as_json as estimate_json
    from infra.cost.estimate import rows
    from infra.cost.site import estimate_site
    from infra.sites.stacks import find_site, project_root

    root = project_root(project)
    found = estimate_site(root, find_site(root, site))
    if as_json:
        _print_json(estimate_json(found))
        return
    table = Table("USD a month", box=None, pad_edge=False)
    table.add_column("idle", justify="right")
    table.add_column("peak", justify="right")
    table.add_column("counted")
    for row in rows(found):
        table.add_row(*row)
    table.add_section()
    table.add_row("sum", f"{found.idle:,.2f}", f"{found.peak:,.2f}", "list prices; without what is by use, traffic and taxes")
    Console(highlight=False).print(table)
    if found.unknown:
        typer.echo(f"not in the sum, price unknown: {', '.join(found.unknown)}")


@app.command()
def up(site: SiteName, yes: Yes = False, pack: Pack = True, project: Project = _HERE, as_json: Events = False) -> None:
    """Bring a site up, or to what its stack files say: the cloud's stack, then the one inside the cluster.

    Each stack is previewed and asked for first. One that fails stops the walk; the same command again goes on from there.
    """
    from infra.engine import walk
    from infra.engine.showing import showing

    _ask_or_refuse(project, site, yes, as_json)
    with showing(as_json=as_json) as show:
        changed = walk.up(_walk(project, site, show, pack=pack), ask=not yes)
        show.say(f"{site} is up, {changed} resources changed" if changed else f"{site} is up, nothing to change")


@app.command(cls=DetailedExit)
def preview(site: SiteName, pack: Pack = True, project: Project = _HERE, as_json: Events = False) -> None:
    """Show what an up would change.

    Exits with 0 where that is nothing and with 2 where it is something; any other code is an error (wrong usage is 1 here, not 2).
    """
    from infra.engine import walk
    from infra.engine.showing import showing

    with showing(as_json=as_json) as show:
        changes = walk.preview(_walk(project, site, show, pack=pack))
    raise typer.Exit(CHANGES if changes else ExitCode.FINISHED)


@app.command()
def refresh(site: SiteName, yes: Yes = False, project: Project = _HERE, as_json: Events = False) -> None:
    """Take into the stacks' states what is there; nothing in cloud or cluster is changed.

    After an engine that was killed this also finds out what became of the resources that it was making.
    """
    from infra.engine import walk
    from infra.engine.showing import showing

    _ask_or_refuse(project, site, yes, as_json)
    if not yes and not typer.confirm(f"Take what is there into the states of {site}?"):
        raise Interrupted("nothing was changed")
    with showing(as_json=as_json) as show:
        changed = walk.refresh(_walk(project, site, show))
        show.say(f"{site}: {changed} resources were not as the states had them")


@app.command()
def destroy(site: SiteName, yes: Yes = False, project: Project = _HERE, as_json: Events = False) -> None:
    """Take a site down: what is in the cluster first, then the cloud's stack. What holds data is protected and stops it."""
    from infra.engine import walk
    from infra.engine.showing import showing

    _ask_or_refuse(project, site, yes, as_json)
    if not yes and typer.prompt(f"This deletes {site} and everything in it. Type the site's name to go on") != site:
        raise Interrupted("that was not the site's name; nothing was deleted")
    with showing(as_json=as_json) as show:
        gone = walk.destroy(_walk(project, site, show))
        show.say(f"{site} is down, {gone} resources deleted" if gone else f"{site}: there was nothing to delete")


@app.command(cls=DetailedExit)
def drift(site: SiteName, project: Project = _HERE, as_json: AsJson = False) -> None:
    """Tell what was changed by hand since the last up.

    Exits with 0 where nothing was and with 2 where something was; any other code is an error (wrong usage is 1 here, not 2).
    """
    from dataclasses import asdict

    from infra.engine.drift import find_drift
    from infra.engine.showing import Lines
    from infra.sites.stacks import find_site, project_root

    root = project_root(project)
    found = find_drift(root, find_site(root, site), Lines())
    if as_json:
        _print_json([asdict(change) for change in found])
    else:
        typer.echo("\n".join(map(str, found)) or f"{site}: nothing was changed by hand")
    raise typer.Exit(CHANGES if found else ExitCode.FINISHED)


@app.command()
def export(
    site: SiteName,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Default: sites/SITE.json of the project.")] = None,
    only_check: Annotated[
        bool, typer.Option("--check", help="Compare with the file and write nothing; 78 where it differs.")
    ] = False,
    project: Project = _HERE,
) -> None:
    """Write the facts of a site, as its stack exports them, for the pipelines and the console."""
    from infra.engine.outputs import site_output
    from infra.sites.facts import differences, facts_file, read_facts, write_facts
    from infra.sites.stacks import find_site, project_root

    root = project_root(project)
    facts = site_output(root, find_site(root, site))
    path = out or facts_file(root, site)
    if only_check:
        different = list(differences(read_facts(path), facts))
        if different:
            raise ConfigError(different)
        typer.echo(f"{path.name} is what the stack exports")
        return
    write_facts(path, facts)
    typer.echo(f"wrote {path}")


@app.command("spinnaker-account")
def spinnaker_account(
    site: SiteName,
    identity: Annotated[
        str | None,
        typer.Option(
            "--identity",
            metavar="NAME",
            help="The role (AWS) or client id (Azure) of Spinnaker here. Default: asked of the cloud stack's output.",
        ),
    ] = None,
    project: Project = _HERE,
) -> None:
    """Print the Clouddriver account that belongs to a site, its kubeconfig, and how its credential is rotated; no secret."""
    from infra.sites.account_text import account_text
    from infra.sites.facts import facts_file, read_facts
    from infra.sites.stacks import find_site, project_root

    root = project_root(project)
    stacks = find_site(root, site)
    typer.echo(account_text(root, stacks, read_facts(facts_file(root, site)), identity), nl=False)


def _walk(project: Path, name: str, show: "Show", *, pack: bool = False) -> "Walk":
    from infra.engine.walk import Walk, refuse_without_login
    from infra.sites.checking import check_sites
    from infra.sites.stacks import find_site, project_root

    root = project_root(project)
    site = find_site(root, name)
    checked = check_sites(root, [site])[0]
    if checked.stack_problems:
        raise ConfigError(checked.stack_problems)
    refuse_without_login(checked.cloud.cloud if checked.cloud is not None else None, site)
    rules = root / "infra" / "policy"
    return Walk(root, site, show, _agree, rules if pack and (rules / "PulumiPolicy.yaml").is_file() else None)


def _agree(stack: str, changes: int) -> None:
    if not typer.confirm(f"Change {changes} resources of {stack}?"):
        raise Interrupted(f"{stack} was not changed")


def _ask_or_refuse(project: Path, site: str, yes: bool, as_json: bool) -> None:
    from infra.sites.stacks import find_site, project_root

    find_site(project_root(project), site)
    if not yes and (as_json or not sys.stdin.isatty()):
        raise UsageError("there is nobody to ask", hint="give --yes")


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
