"""``lorafleet mirror``: copy finished weights to a backup store."""

from pathlib import Path
from typing import Annotated

import typer


def mirror(
    source: Annotated[str, typer.Argument(metavar="SOURCE_URL", help="The store to copy from: s3://…, gs://…, az://…, file:///….")],
    target: Annotated[str, typer.Argument(metavar="TARGET_URL", help="The backup.")],
    source_secret: Annotated[Path | None, typer.Option(metavar="FILE", help="File with the source's secret.")] = None,
    target_secret: Annotated[Path | None, typer.Option(metavar="FILE", help="File with the backup's secret.")] = None,
    source_setting: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Such as region or endpoint.")] = None,
    target_setting: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Such as region or endpoint.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Read back what is there already too, and repair it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each file.")] = False,
) -> None:
    """Copy the finished weights that a backup lacks, verified by SHA-256. Deletes nothing; again is harmless."""
    import json
    from collections import Counter
    from dataclasses import asdict

    from lorafleet.console.objects.config import StoreConfig, open_store
    from lorafleet.console.objects.mirroring import Done, mirror_outputs

    origin = open_store(StoreConfig("source", source, source_secret, _settings(source_setting, "--source-setting")))
    backup = open_store(StoreConfig("target", target, target_secret, _settings(target_setting, "--target-setting")))
    count: Counter[Done] = Counter()
    moved = 0
    for each in mirror_outputs(origin, backup, verify):
        count[each.done] += 1
        if each.done is not Done.THERE:
            moved += each.size
        if as_json:
            typer.echo(json.dumps(asdict(each), sort_keys=True))
        elif each.done is not Done.THERE:
            typer.echo(f"{each.done}: {each.key} ({each.size} bytes)")
    if not as_json:
        summary = f"{count[Done.COPIED]} copied, {count[Done.REPAIRED]} repaired, {count[Done.THERE]} there already"
        typer.echo(f"{summary}; {moved} bytes moved")


def _settings(given: list[str] | None, option: str) -> dict[str, str]:
    from lorafleet.contracts.problems import UsageError

    found = {}
    for word in given or []:
        key, sign, value = word.partition("=")
        if not (key and sign):
            raise UsageError(f"{option} {word!r} has no '='", hint="write KEY=VALUE")
        found[key] = value
    return found
