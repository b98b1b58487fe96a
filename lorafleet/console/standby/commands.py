"""``lorafleet standby``: how the console's standby stands, and making it the home."""

import getpass
import json
import re
from dataclasses import asdict
from typing import Annotated

import typer

from lorafleet.contracts.layout import ID
from lorafleet.contracts.problems import UsageError

app = typer.Typer(
    name="standby", help="Look at the console's standby, or make it the home.", rich_markup_mode=None, add_completion=False
)

Database = Annotated[str, typer.Option(envvar="LORAFLEET_DATABASE", metavar="URL", help="The standby's PostgreSQL.")]
OldHome = Annotated[
    str | None,
    typer.Option(
        "--home", envvar="LORAFLEET_PEER_DATABASE", metavar="URL", help="The home's PostgreSQL, as its consoles reach it."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def status(database: Database, home: OldHome = None, as_json: AsJson = False) -> None:
    """Say how far the standby is behind, and whether its home answers."""
    from lorafleet.console.standby.promotion import stand

    standing = stand(database, home)
    if as_json:
        typer.echo(json.dumps(standing.as_json(), indent=2))
        return
    server = standing.server
    name = "its home has no name yet" if server.home is None else f"the home is {server.home.site}, epoch {server.epoch}"
    if not server.in_recovery:
        typer.echo(f"this is no standby: it takes writes; {name}")
        return
    heard = "follows its home" if server.streaming else "does not hear its home"
    typer.echo(f"a standby that {heard}; {name}")
    typer.echo(f"newest change: {_age(server.last_replayed_seconds)}; {server.bytes_unreplayed} bytes received and not yet applied")
    if standing.home_address:
        typer.echo(f"the home at {standing.home_address} {'answers' if standing.home_answers else 'does not answer'}")


@app.command()
def promote(
    site: Annotated[str, typer.Option(metavar="NAME", help="The site of the standby, the home from now on.")],
    database: Database,
    home: OldHome = None,
    force: Annotated[bool, typer.Option("--force", help="Move the home although it answers: fence it first.")] = False,
    reason: Annotated[str, typer.Option(help="Why; kept with the new home.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make the standby the home, under the next epoch. Consoles of the old home are fenced."""
    from lorafleet.console.standby.promotion import promote as move

    if re.fullmatch(ID, site) is None:
        raise UsageError(f"'{site}' is no site's name", where="--site", hint="use 1 to 63 small letters, digits and hyphens")
    done = move(database, site, home=home, force=force, by=": ".join(filter(None, (getpass.getuser(), reason))))
    if as_json:
        typer.echo(json.dumps(asdict(done), indent=2, default=str))
        return
    typer.echo(f"{site} is the home now, epoch {done.home.epoch}")
    if done.lossless:
        typer.echo("the old home was fenced first, and everything that it accepted is here")
    elif done.old_home_fenced:
        typer.echo("the old home is fenced")
    else:
        newest = _age(done.last_replayed_seconds)
        typer.echo(f"the old home did not answer; what it accepted after the newest change here ({newest}) is lost")
        typer.echo("it is fenced once it answers again, by consoles with --peer-database or by this command with --home")
    typer.echo(f"next: start consoles here with --site-home {site}, and let the console's name point to them")


def _age(seconds: float | None) -> str:
    return "none so far" if seconds is None else f"{seconds:.1f} s ago"
