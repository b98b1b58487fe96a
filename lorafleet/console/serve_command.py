"""``lorafleet serve``: the console on this machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    pass


def serve(
    directory: Annotated[Path, typer.Option("--dir", metavar="DIR", help="Where everything is kept.")] = Path("lorafleet-console"),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8400,
    site: Annotated[
        list[str] | None, typer.Option(metavar="NAME[=STORE_URL]", help="A site and its object store; may be repeated.")
    ] = None,
    store_secret: Annotated[
        list[str] | None, typer.Option(metavar="NAME=FILE", help="File with the secret of a site's store.")
    ] = None,
    store_setting: Annotated[
        list[str] | None, typer.Option(metavar="NAME.KEY=VALUE", help="Setting of a site's store, such as endpoint or region.")
    ] = None,
    sites_dir: Annotated[Path | None, typer.Option(help="Folder with the sites' facts, for preflight checks of releases.")] = None,
    database: Annotated[str | None, typer.Option(envvar="LORAFLEET_DATABASE", help="postgresql://… instead of SQLite.")] = None,
    site_home: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The site where this console and its PostgreSQL run; names the home at first."),
    ] = None,
    peer_database: Annotated[
        str | None,
        typer.Option(envvar="LORAFLEET_PEER_DATABASE", help="The other site's PostgreSQL: its standby, or the home it was."),
    ] = None,
    alone: Annotated[
        bool, typer.Option("--alone", help="Go on although the other site's database does not answer: this is surely the home.")
    ] = False,
    replicas: Annotated[int, typer.Option(min=1, help="How many consoles share the database.")] = 1,
    public_url: Annotated[str | None, typer.Option(help="Where browsers and workers reach the console.")] = None,
    allowed_host: Annotated[list[str] | None, typer.Option(help="Another name that the console may be called by.")] = None,
    oidc: Annotated[
        Path | None, typer.Option("--oidc", metavar="FILE", help="Let people log in with an OpenID Connect provider: its settings.")
    ] = None,
    no_auth: Annotated[bool, typer.Option("--no-auth", help="Everybody is the administrator; loopback only.")] = False,
    signing_key: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            envvar="LORAFLEET_SIGNING_KEY",
            help="cosign.pub: releases must be signed by this key, or by one of them where it is repeated.",
        ),
    ] = None,
    allow_unsigned: Annotated[
        bool, typer.Option("--allow-unsigned", help="Let releases pass without a look at their signature.")
    ] = False,
    registry_credentials: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Docker configuration with credentials of the sites' registries.")
    ] = None,
    prometheus: Annotated[str | None, typer.Option(metavar="URL", help="Where the named conditions of releases are asked.")] = None,
    keep_events: Annotated[
        str, typer.Option(metavar="30d|forever", help="How long events and logs of a job are kept after its end.")
    ] = "90d",
    release: Annotated[str | None, typer.Option(metavar="DIGEST", help="The stable trainer image, at the first start.")] = None,
    lease_seconds: Annotated[float, typer.Option(min=1, max=600, help="A lease without a heartbeat ends after this.")] = 30.0,
    grace_seconds: Annotated[float, typer.Option(min=0, max=3600, help="And its job goes elsewhere after this much more.")] = 30.0,
    ready_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the addresses there as JSON once the console answers, mode 0600.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the addresses as JSON.")] = False,
) -> None:
    """Serve the console: web page, API, dispatcher and guard. Ctrl-C ends it."""
    from dataclasses import replace
    from datetime import timedelta

    from lorafleet.console.embedded import RELEASE, embedded_settings, read_sites
    from lorafleet.console.listening import listen
    from lorafleet.console.oidc.config import read_oidc
    from lorafleet.console.server import run
    from lorafleet.console.settings import Auth, read_keep_events, refuse_unsafe
    from lorafleet.console.site_files import read_site_files

    directory = directory.absolute()
    sites = read_sites(site or [], store_secret or [], store_setting or [])
    with listen(host, port) as listener:
        settings = replace(
            embedded_settings(directory, host, listener.getsockname()[1], public_url),
            auth=Auth.NONE if no_auth else Auth.TOKEN,
            allowed_hosts=tuple(allowed_host or ()),
            replicas=replicas,
            oidc=read_oidc(oidc) if oidc else None,
            signing_keys=tuple(signing_key or ()),
            allow_unsigned=allow_unsigned,
            registry_credentials=registry_credentials,
            prometheus=prometheus,
            keep_events=read_keep_events(keep_events),
            site_home=site_home,
            peer_database=peer_database,
            alone=alone,
            sites=read_site_files(sites_dir) if sites_dir else {},
            lease_lifetime=timedelta(seconds=lease_seconds),
            grace=timedelta(seconds=grace_seconds),
            heartbeat_seconds=min(5.0, lease_seconds / 4),
        )
        if database:
            settings = replace(settings, database_url=database)
        refuse_unsafe(settings)
        run(directory, settings, sites, release or RELEASE, listener, ready_file, as_json)
