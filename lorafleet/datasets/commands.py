"""``lorafleet data``: looking at a data set before it is trained on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lorafleet.datasets.checks import CheckReport

app = typer.Typer(name="data", help="Check and prepare data sets.", rich_markup_mode=None, add_completion=False)


@app.command()
def check(
    path: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of images, or a text set's folder or file.")],
    metadata: Annotated[Path | None, typer.Option(help="Captions, where they are not in the folder's metadata.csv.")] = None,
    resolution: Annotated[int, typer.Option(min=32, max=4096, help="Side in pixels of a square training image.")] = 512,
    bucket_step: Annotated[int, typer.Option(min=8, help="Bucket sides are multiples of this.")] = 64,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows of a batch.")] = 4,
    rank: Annotated[int, typer.Option(min=1, max=1024, help="The LoRA's rank.")] = 8,
    strict: Annotated[bool, typer.Option("--strict", help="Let warnings fail too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    texts: Annotated[bool, typer.Option("--texts", help="This is a text set; otherwise found out by its files.")] = False,
) -> None:
    """Report what is wrong with a data set. Ends with code 65 when it cannot be trained on."""
    from rich.console import Console

    from lorafleet.datasets.report_view import print_report

    is_text = texts or _holds_texts(path)
    report = _check_texts(path, rank) if is_text else _check_images(path, metadata, resolution, bucket_step, batch_size, rank)
    if as_json:
        typer.echo(report.as_json())
    else:
        print_report(report, Console(), noun="example" if is_text else "image", strict=strict)
    report.raise_if_bad(strict)


@app.command("caption-csv")
def caption_csv(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of images.")],
    caption: Annotated[str, typer.Option(help="The caption of images that have none.")] = "",
    out: Annotated[Path | None, typer.Option(help="Default: DIR/metadata.csv.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
) -> None:
    """Write metadata.csv from side files and existing captions, with a row for each image."""
    from lorafleet.datasets.captions import write_captions_csv
    from lorafleet.datasets.findings import counted

    target, rows = write_captions_csv(folder, out, caption=caption, force=force)
    typer.echo(f"wrote {target} with {counted(rows, 'row')}")


def _holds_texts(path: Path) -> bool:
    from lorafleet.datasets.caption_sources import find_metadata
    from lorafleet.datasets.image_files import list_files
    from lorafleet.datasets.texts import SUFFIXES, list_text_files

    if not path.is_dir():
        return path.is_file() and path.suffix.lower() in SUFFIXES
    return find_metadata(path) is None and not list_files(path).images and bool(list_text_files(path))


def _check_texts(path: Path, rank: int) -> "CheckReport":
    from lorafleet.datasets.checks import check_texts
    from lorafleet.datasets.texts import read_text_set

    return check_texts(read_text_set(path), lora_rank=rank)


def _check_images(
    path: Path, metadata: Path | None, resolution: int, bucket_step: int, batch_size: int, rank: int
) -> "CheckReport":
    from lorafleet.datasets.checks import check_images
    from lorafleet.datasets.images import read_image_set

    with _progress_bar("reading images") as progress:
        image_set = read_image_set(path, metadata, progress)
    return check_images(
        image_set,
        resolution=resolution,
        bucket_step=bucket_step,
        upscale=True,
        lora_rank=rank,
        buckets=True,
        batch_size=batch_size,
    )


@contextmanager
def _progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
