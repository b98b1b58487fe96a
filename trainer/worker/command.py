"""``lorafleet worker``'s command line."""

import os
import re
import socket
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lorafleet.contracts.outcomes import ExitCode
from lorafleet.contracts.problems import UsageError


class Probe(StrEnum):
    """What Kubernetes asks."""

    LIVE = "live"
    READY = "ready"


def worker(
    console: Annotated[str, typer.Option(envvar="LORAFLEET_CONSOLE", help="The console's address, https://…")] = "",
    site: Annotated[str, typer.Option(envvar="LORAFLEET_SITE", help="The site that this machine belongs to.")] = "",
    name: Annotated[
        str,
        typer.Option(
            "--worker", envvar="LORAFLEET_WORKER", help="This worker's own name; the host's by default.", show_default=False
        ),
    ] = "",
    release: Annotated[str, typer.Option(envvar="LORAFLEET_RELEASE", help="Digest of the image that this is, sha256:…")] = "",
    credential_file: Annotated[
        Path | None,
        typer.Option(envvar="LORAFLEET_CREDENTIAL_FILE", help="File with the site's enrolment credential.", show_default=False),
    ] = None,
    work: Annotated[
        Path | None, typer.Option(envvar="LORAFLEET_WORK_DIR", help="Folder for what a job needs meanwhile.", show_default=False)
    ] = None,
    models: Annotated[
        Path | None, typer.Option(envvar="LORAFLEET_MODELS", help="Root of the base models.", show_default=False)
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(envvar="LORAFLEET_CACHE", help="Shared folder for encodings.", show_default=False)
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    gpus: Annotated[
        int, typer.Option(envvar="LORAFLEET_GPUS", min=1, max=16, help="How many GPUs a job may have; it is offered that many.")
    ] = 1,
    once: Annotated[bool, typer.Option("--once", help="Take one job and end with its exit code.")] = False,
    idle_exit: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="End after so long without a job.", show_default=False)
    ] = None,
    grace: Annotated[float, typer.Option(min=1, help="Seconds between SIGTERM and the end.")] = 25.0,
    stall: Annotated[float, typer.Option(min=5, help="Seconds without a sign of life after which a training is given up.")] = 900.0,
    as_json: Annotated[bool, typer.Option("--json", help="Events as JSON lines.")] = False,
    probe: Annotated[Probe | None, typer.Option(help="Say how the worker in the work folder is, and end: 0 is good.")] = None,
) -> None:
    """Lease jobs from the console and train them, until SIGTERM: then the job is saved and handed back."""
    name = name or _own_name()
    folder = (work or Path.home() / ".cache" / "lorafleet" / "work").expanduser() / f"worker-{name}"
    if probe is not None:
        from trainer.worker import state_file

        good = state_file.is_live if probe is Probe.LIVE else state_file.is_ready
        raise typer.Exit(ExitCode.FINISHED if good(folder / state_file.NAME) else ExitCode.FAILED)
    needed = {"--console": console, "--site": site, "--release": release, "--credential-file": credential_file}
    if missing := [option for option, value in needed.items() if not value]:
        raise UsageError(f"{', '.join(missing)} must be given", hint="or set LORAFLEET_… in the environment")
    from trainer.worker.settings import WorkerSettings
    from trainer.worker.supervisor import Supervisor
    from trainer.worker.voice import Voice

    assert credential_file is not None
    settings = WorkerSettings(
        console=console,
        site=site,
        worker=name,
        release=release,
        credential_file=credential_file,
        work=folder,
        models=models,
        cache=cache,
        device=device,
        gpus=gpus,
        once=once,
        idle_exit=idle_exit,
        grace=grace,
        stall=stall,
    ).check()
    raise typer.Exit(Supervisor(settings, Voice(as_json)).run())


def _own_name() -> str:
    """The host's name as an id; in Kubernetes that is the pod's."""
    name = re.sub(r"[^a-z0-9-]+", "-", socket.gethostname().lower()).strip("-")[:63].strip("-")
    return name or f"worker-{os.getpid()}"
