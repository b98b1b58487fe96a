"""Where a prepared version's files go in the stores, and which are there already."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lorafleet.console.uploads.refusals import UploadRefused
from lorafleet.console.uploads.versions import PreparedVersion
from lorafleet.contracts import layout
from lorafleet.contracts.jobs import PublishedObject


@dataclass(frozen=True)
class Publication:
    """``objects`` are all of a version's; ``to_write`` are those that no version before has stored, with their files."""

    objects: tuple[PublishedObject, ...]
    to_write: tuple[tuple[PublishedObject, Path], ...]


def plan_publication(
    dataset: str, version: str, prepared: PreparedVersion, previous: Sequence[PublishedObject] = ()
) -> Publication:
    """The keys of a version. What did not change since ``previous``, an earlier version's objects, keeps the key it has.

    Raises:
        UploadRefused: a file is said to be unchanged, and the earlier version lacks it.
    """
    there = {(found.name, item.size, item.sha256): item for item in previous if (found := layout.parse_dataset_object(item.key))}
    objects, to_write = [], []
    for file in prepared.files:
        item = there.get((file.name, file.size, file.sha256))
        if item is None:
            if file.path is None:
                raise UploadRefused("the version before has no such file", where=file.name, hint="reload the page")
            item = PublishedObject(key=layout.dataset_object(dataset, version, file.name), size=file.size, sha256=file.sha256)
            to_write.append((item, file.path))
        objects.append(item)
    return Publication(tuple(objects), tuple(to_write))
