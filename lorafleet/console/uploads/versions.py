"""Making an immutable version: the files, ``metadata.csv`` by the data sets' own writer, and what the checks found.

A version also holds ``.contents.json``, which says of each image what it is and what the person called it. With it a later version with
other captions is made without the images.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from lorafleet.console.uploads.decoder import decoders
from lorafleet.console.uploads.findings import relabelled
from lorafleet.console.uploads.refusals import UploadRefused
from lorafleet.console.uploads.state import Entry, Kind, entries_as_data, entries_of
from lorafleet.contracts.training import TrainingConfig
from lorafleet.datasets.caption_sources import Captions, read_captions
from lorafleet.datasets.captions import write_captions_csv
from lorafleet.datasets.checks import CheckReport, check_images
from lorafleet.datasets.image_files import FolderFiles
from lorafleet.datasets.images import ImageSample, ImageSet
from lorafleet.datasets.texts import SUFFIXES as TEXT_SUFFIXES

CONTENTS = ".contents.json"
METADATA = "metadata.csv"
CONTENTS_BYTES = 32 << 20
"""The most bytes of ``.contents.json`` that are read."""


@dataclass(frozen=True)
class PreparedFile:
    """A file of a version. ``path`` is None where the version before has the same content under the same name."""

    name: str
    path: Path | None
    size: int
    sha256: str


@dataclass(frozen=True)
class PreparedVersion:
    """A version that is ready to be stored.

    ``rows`` are the examples that can be trained on; ``report`` is ``CheckReport`` as plain data; ``kind`` is images or texts.
    """

    files: tuple[PreparedFile, ...]
    rows: int
    report: Mapping[str, Any]
    kind: str


def prepare_images(images: Sequence[Entry], captions: Captions, folder: Path) -> PreparedVersion:
    """A version of the images in ``folder``; ``captions`` are by label."""
    report = _written(images, captions, folder)
    files = [PreparedFile(entry.file, folder / entry.file, entry.size, entry.sha256) for entry in images]
    return PreparedVersion((*files, *_own_files(folder)), report.count, json.loads(report.as_json()), "images")


def edit_version(contents: bytes, captions: Mapping[str, str], staging: Path) -> PreparedVersion:
    """A version with the images of another and these captions, by file; images that are left out have none.

    ``contents`` is the other version's ``.contents.json``. Only the two small files are made anew, in the empty folder ``staging``.

    Raises:
        UploadRefused: the other version is none of images, or has no such image.
    """
    images = read_contents(contents)
    labels = {entry.file: entry.label for entry in images}
    for file in captions:
        if file not in labels:
            raise UploadRefused("the version has no such image", where=file)
    staging.mkdir(parents=True, exist_ok=True)
    report = _written(images, Captions({labels[file]: text for file, text in captions.items()}, ()), staging)
    files = [PreparedFile(entry.file, None, entry.size, entry.sha256) for entry in images]
    return PreparedVersion((*files, *_own_files(staging)), report.count, json.loads(report.as_json()), "images")


def prepare_texts(entries: Sequence[Entry], folder: Path) -> PreparedVersion:
    """A version of the text files in ``folder``.

    Raises:
        UploadRefused: they take too much to read them.
    """
    entries = sorted((entry for entry in entries if entry.file.endswith(TEXT_SUFFIXES)), key=lambda entry: entry.label)
    with decoders().borrowed() as decoder:
        report = decoder.check(folder, {entry.file: entry.label for entry in entries}, _default("lora_rank"))
    report = replace(report, findings=tuple(relabelled(report.findings, folder, entries)))
    (folder / CONTENTS).write_bytes(_contents(entries))
    files = [PreparedFile(entry.file, folder / entry.file, entry.size, entry.sha256) for entry in entries]
    return PreparedVersion((*files, _prepared(folder / CONTENTS)), report.count, json.loads(report.as_json()), "texts")


def all_contents(data: bytes) -> tuple[Entry, ...]:
    """What a version's ``.contents.json`` says of its files.

    Raises:
        UploadRefused: it is none.
    """
    try:
        return entries_of(json.loads(data)["files"])
    except (ValueError, TypeError, KeyError):
        raise UploadRefused("the version's list of contents cannot be read", where=CONTENTS) from None


def read_contents(data: bytes) -> tuple[Entry, ...]:
    """The images of a version's ``.contents.json``.

    Raises:
        UploadRefused: it is none, or of texts.
    """
    entries = all_contents(data)
    if not entries or any(entry.kind is not Kind.IMAGE for entry in entries):
        raise UploadRefused("captions are edited in versions of images", where=CONTENTS)
    return entries


def _written(images: Sequence[Entry], captions: Captions, folder: Path) -> CheckReport:
    by_label = {entry.label: entry for entry in images}
    with tempfile.TemporaryDirectory(dir=folder, prefix=".build-") as scratch:
        build = Path(scratch)
        for entry in images:
            # The writer looks at names alone.
            (build / entry.file).touch()
            if entry.label in captions.texts:
                (build / entry.file).with_suffix(".txt").write_text(captions.texts[entry.label], encoding="utf-8")
        write_captions_csv(build, folder / METADATA, force=True)
        read = _read_back(captions, tuple(by_label), build)
    samples = tuple(
        ImageSample(folder / entry.file, label, read.texts.get(label, ""), entry.width, entry.height, entry.sha256, entry.dhash)
        for label, entry in sorted(by_label.items())
    )
    (folder / CONTENTS).write_bytes(_contents(images))
    return _checked(ImageSet(folder, samples, (*captions.findings, *read.findings)), images)


def _read_back(captions: Captions, labels: tuple[str, ...], build: Path) -> Captions:
    """The same captions as the data sets' own reader has them, with its findings about those that are missing, by label."""
    table = build / "labels.jsonl"
    rows = [json.dumps({"file_name": label, "text": text}) for label, text in captions.texts.items()]
    table.write_text("\n".join(rows), encoding="utf-8")
    return read_captions(build / "none", FolderFiles(labels, (), (), ()), table if rows else None)


def _checked(image_set: ImageSet, images: Sequence[Entry]) -> CheckReport:
    # How it will be trained is not known yet: the defaults of the configuration are what most take.
    report = check_images(
        image_set,
        resolution=512,
        bucket_step=_default("bucket_step"),
        upscale=True,
        lora_rank=_default("lora_rank"),
        buckets=True,
        batch_size=_default("batch_size"),
    )
    return replace(report, findings=tuple(relabelled(report.findings, image_set.folder, images)))


def _default(key: str) -> int:
    value: int = TrainingConfig.model_fields[key].default
    return value


def _contents(entries: Sequence[Entry]) -> bytes:
    return json.dumps({"format": 1, "files": entries_as_data(tuple(entries))}, ensure_ascii=False, indent=1).encode()


def _own_files(folder: Path) -> tuple[PreparedFile, ...]:
    return _prepared(folder / METADATA), _prepared(folder / CONTENTS)


def _prepared(path: Path) -> PreparedFile:
    data = path.read_bytes()
    return PreparedFile(path.name, path, len(data), sha256(data).hexdigest())
