"""Writing captions as the table that every later step reads."""

import csv
import io
from pathlib import Path

from lorafleet.contracts.problems import DataError, StorageError, UsageError
from lorafleet.datasets.caption_sources import read_captions
from lorafleet.datasets.findings import raise_fatal
from lorafleet.datasets.image_files import list_files
from lorafleet.whole_files import write_whole


def write_captions_csv(folder: Path, out: Path | None = None, *, caption: str = "", force: bool = False) -> tuple[Path, int]:
    """Write ``file_name,text`` rows for all images of a folder, sorted by name, and return the file and the number of rows.

    Captions come from the folder's own metadata and side files, and where there is none it is ``caption``. ``out`` is
    ``metadata.csv`` in the folder by default; with ``force`` an existing file is read first and then replaced.

    Raises:
        NoInputError: there is no such folder.
        DataError: it holds no images, or existing captions cannot be read.
        UsageError: the file is there and ``force`` was not given.
        StorageError: the disk refused the file.
    """
    target = out or folder / "metadata.csv"
    files = list_files(folder)
    if not files.images:
        raise DataError("there are no images here", where=str(folder), hint="PNG, JPEG, WebP and BMP files are read")
    if target.exists() and not force:
        raise UsageError("the file is there already", where=str(target), hint="--force replaces it, --out writes another")
    captions = read_captions(folder, files)
    raise_fatal(captions.findings)
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(("file_name", "text"))
    writer.writerows((name, captions.texts.get(name) or caption) for name in files.images)
    try:
        write_whole(target, lines.getvalue())
    except OSError as error:
        raise StorageError(f"cannot be written: {error.strerror}", where=str(target)) from None
    return target, len(files.images)
