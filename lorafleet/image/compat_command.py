"""``lorafleet image compat``."""

from pathlib import Path
from typing import Annotated

import typer

from lorafleet.image.options import AsJson


def compat(
    lock: Annotated[
        list[Path] | None, typer.Option("--lock", metavar="FILE", help="What is installed; default: requirements/trainer.txt.")
    ] = None,
    sites: Annotated[
        Path | None, typer.Option("--sites", metavar="DIR", help="Folder with the sites' facts; default: sites/ if it is there.")
    ] = None,
    python: Annotated[str, typer.Option("--python", metavar="3.N", help="The image's Python.")] = "3.12",
    as_json: AsJson = False,
) -> None:
    """Check the lock against the table of versions, and the sites' drivers and GPUs against what the image needs."""
    import json

    from lorafleet.console.site_files import read_site_files
    from lorafleet.contracts.problems import UnavailableError
    from lorafleet.image.compat import problems, versions
    from lorafleet.image.lock import read_locks

    paths = lock or [Path("requirements/trainer.txt")]
    if sites is None and Path("sites").is_dir():
        sites = Path("sites")
    facts = read_site_files(sites) if sites else {}
    pins = read_locks(paths, python)
    found, wrong = versions(pins), problems(" + ".join(map(str, paths)), pins, facts)
    if as_json:
        lines = [str(problem) for problem in wrong]
        typer.echo(json.dumps({"versions": found, "sites": sorted(facts), "fits": not wrong, "problems": lines}))
    elif not wrong:
        words = ", ".join(f"{name} {version}" for name, version in found.items())
        typer.echo(f"{words}: these fit together" + (f", and {', '.join(sorted(facts))}" if facts else ""))
    if wrong:
        raise UnavailableError(wrong)
